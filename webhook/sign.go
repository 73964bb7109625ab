package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a request.
const (
	HeaderSignature = "X-Tgtrunk-Signature" // sha256= and the HMAC-SHA256 of timestamp, "." and body, in hexadecimal
	HeaderTimestamp = "X-Tgtrunk-Timestamp" // when this attempt was made, seconds since 1970
	HeaderEvent     = "X-Tgtrunk-Event"     // the event's type
	HeaderEventID   = "X-Tgtrunk-Event-Id"  // the same in every attempt
	HeaderAttempt   = "X-Tgtrunk-Attempt"   // from 1; begins anew when the service does
)

const signaturePrefix = "sha256="

// Sign returns the signature of a body sent at a time.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return signaturePrefix + hex.EncodeToString(mac.Sum(nil))
}

// ErrSignature is what Verify says of a request that is not ours, or is too old.
var ErrSignature = errors.New("signature is wrong")

// Verify checks, for receivers, that a request with this body was signed with the secret not longer than within ago.
func Verify(secret string, h http.Header, body []byte, within time.Duration) error {
	stamp := h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timestamp %q", ErrSignature, stamp)
	}
	if age := time.Since(time.Unix(seconds, 0)); age.Abs() > within {
		return fmt.Errorf("%w: it is %v old", ErrSignature, age.Round(time.Second))
	}
	got := h.Get(HeaderSignature)
	if !strings.HasPrefix(got, signaturePrefix) || !hmac.Equal([]byte(got), []byte(Sign(secret, stamp, body))) {
		return ErrSignature
	}
	return nil
}
