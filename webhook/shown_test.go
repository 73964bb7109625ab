package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Ids are logged as Shown says: of an event that is not taken, and of one that is given up.
func TestIDsAreShownAsAsked(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) { w.WriteHeader(http.StatusBadGateway) })
	s := start(t, Options{
		URL: r.URL, Store: openStore(t),
		Shown: func(text string) string { return strings.ReplaceAll(text, "5700123456", "xxx") },
	})
	late := event("sales.5700123456", "received")
	late.Time = time.Now().Add(-48 * time.Hour)
	s.Send(late)
	s.Send(event("office.5700123456", "received"))
	eventually(t, "both are logged", func() bool { return s.log.has("event is given up") && s.log.has("event was not taken") })
	if s.log.has("5700123456") || !s.log.has("call=sales.xxx") || !s.log.has("call=office.xxx") {
		t.Error("the log names somebody whole")
	}
}
