package telegram

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/calls"
)

const (
	askIn        = 15 * time.Second
	askNoSooner  = time.Minute // however soon Telegram says that its answer expires
	askNoLater   = 24 * time.Hour
	leastTimeout = time.Second // of Telegram's limits: what is outside is taken for nonsense
	mostTimeout  = 5 * time.Minute
)

// serverConfig is what help.getConfig says that calls depend on: the limits of their phases, and Telegram's clock. It is
// asked for at the login, again when the answer expires, and when an updateConfig says that it has changed
// (https://core.telegram.org/constructor/config, https://core.telegram.org/constructor/updateConfig).
type serverConfig struct {
	ask   func(context.Context) (*tg.Config, error)
	log   *slog.Logger
	again time.Duration // until it is asked for again; of whoever calls read
	fresh chan struct{} // holds a token when Telegram has said that it has changed

	offset atomic.Int64 // Telegram's clock less ours, nanoseconds
	limits atomic.Pointer[calls.Timeouts]
}

func newServerConfig(ask func(context.Context) (*tg.Config, error), log *slog.Logger) *serverConfig {
	c := &serverConfig{ask: ask, log: log, fresh: make(chan struct{}, 1)}
	c.limits.Store(&calls.Timeouts{})
	return c
}

// now is Telegram's clock: calls that come late are judged by their date, and ours may be wrong.
func (c *serverConfig) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// timeouts are Telegram's limits; zero fields where it has not said anything that makes sense.
func (c *serverConfig) timeouts() calls.Timeouts { return *c.limits.Load() }

// changed is called when Telegram says so; it does not block.
func (c *serverConfig) changed() {
	select {
	case c.fresh <- struct{}{}:
	default:
	}
}

// read asks once. Without an answer everything stays as it was.
func (c *serverConfig) read(ctx context.Context) {
	c.again = askNoSooner
	ctx, cancel := context.WithTimeout(ctx, askIn)
	defer cancel()
	answer, err := c.ask(ctx)
	answered := time.Now() // the question may have waited for the connection, or for a flood to pass
	if err != nil {
		c.log.Debug("telegram's configuration is unknown", "error", err)
		return
	}
	offset := time.Unix(int64(answer.Date), 0).Sub(answered).Round(time.Second)
	if offset.Abs() > 10*time.Second {
		c.log.Warn("this machine's clock is wrong", "off", offset)
	}
	c.offset.Store(int64(offset))
	limits := calls.Timeouts{
		Receive: c.limit("call_receive_timeout_ms", answer.CallReceiveTimeoutMs),
		Ring:    c.limit("call_ring_timeout_ms", answer.CallRingTimeoutMs),
		Connect: c.limit("call_connect_timeout_ms", answer.CallConnectTimeoutMs),
	}
	if old := c.limits.Swap(&limits); *old != limits {
		c.log.Debug("telegram's limits of calls", "receive", limits.Receive, "ring", limits.Ring, "connect", limits.Connect)
	}
	c.again = min(max(time.Duration(answer.Expires-answer.Date)*time.Second, askNoSooner), askNoLater)
}

// limit is 0, which stands for the default, where Telegram's value makes no sense.
func (c *serverConfig) limit(name string, ms int) time.Duration {
	if ms < int(leastTimeout/time.Millisecond) || ms > int(mostTimeout/time.Millisecond) {
		c.log.Warn("telegram's limit makes no sense, using the default", "name", name, "ms", ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// keep keeps what read has learned up to date until ctx ends.
func (c *serverConfig) keep(ctx context.Context, apply func(calls.Timeouts)) {
	for {
		due := time.NewTimer(c.again)
		select {
		case <-ctx.Done():
		case <-c.fresh:
		case <-due.C:
		}
		due.Stop()
		if ctx.Err() != nil {
			return
		}
		c.read(ctx)
		apply(c.timeouts())
	}
}
