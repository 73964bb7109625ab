package telegram

import (
	"testing"
	"time"

	"github.com/gotd/td/tgerr"
)

// TestFloodWaits: every number of seconds is a time to wait.
func TestFloodWaits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"FLOOD_WAIT_30":                  30 * time.Second,
		"FLOOD_PREMIUM_WAIT_2":           2 * time.Second,
		"SLOWMODE_WAIT_0":                time.Second,
		"FLOOD_WAIT_10000000000":         mostFlood, // more nanoseconds than there are
		"FLOOD_WAIT_9223372036854775807": mostFlood,
		"USER_ID_INVALID":                0,
	} {
		if got := signalOf(tgerr.New(420, text)).Wait; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}
