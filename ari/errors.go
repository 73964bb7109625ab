package ari

import (
	"errors"
	"fmt"
	"net/http"
)

// Errors that callers may want to recognise.
var (
	// ErrReplaced says that another process took over the Stasis application.
	ErrReplaced = errors.New("another process serves the stasis application")
	// ErrNotConnected says that there is no connection to Asterisk at the moment.
	ErrNotConnected = errors.New("not connected to asterisk")
	// ErrChannelGone says that a channel vanished without notice, as after a restart of Asterisk.
	ErrChannelGone = errors.New("channel vanished from asterisk")
)

// ResponseError is a request that Asterisk refused.
type ResponseError struct {
	Request string // method and path, without query
	Status  int    // HTTP status code
	Message string // Asterisk's own words; may be empty
}

// Error says what was asked, and what Asterisk answered.
func (e *ResponseError) Error() string {
	text := fmt.Sprintf("%s: %d %s", e.Request, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// isStatus reports whether err is a refusal with this HTTP status.
func isStatus(err error, status int) bool {
	var refused *ResponseError
	return errors.As(err, &refused) && refused.Status == status
}

// isGone says whether Asterisk refused a request because a channel in it has hung up or has left Stasis.
func isGone(err error) bool {
	return isNotFound(err) || isStatus(err, http.StatusUnprocessableEntity) || isStatus(err, http.StatusBadRequest)
}

func isNotFound(err error) bool { return isStatus(err, http.StatusNotFound) }
