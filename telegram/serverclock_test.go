package telegram

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
)

// A question that waits before it is sent, for the connection or for a flood to pass, says nothing of the clock: else
// calls would seem to come late, and be given less time.
func TestTelegramsClockAfterALongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &registry{}
		s := newServerConfig(func(ctx context.Context) (*tg.Config, error) {
			time.Sleep(6 * time.Second)
			return r.ask(ctx)
		}, slog.New(slog.DiscardHandler))
		s.read(t.Context())
		if off := time.Until(s.now()); off != 0 {
			t.Errorf("telegram's clock seems to be off by %v", off)
		}
	})
}
