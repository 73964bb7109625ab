package ari

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// oldestMajor is the first major version of Asterisk whose external media tells its RTP address in the reply and that
// is still looked after anywhere.
const oldestMajor = 18

// stayConnected keeps one session after the other until ctx ends. The calls end when they cannot be saved: Asterisk is not
// running any more, could not be reached for too long, or another process has them.
func (l *Link) stayConnected(ctx context.Context, accept func(bridge.Offer)) {
	l.redial("no connection to asterisk, trying again").Run(ctx, func(ctx context.Context) (time.Time, error) {
		err := l.session(ctx, accept)
		return l.leave(err), err
	}, func(o pbx.Outage) {
		replaced := errors.Is(o.Err, ErrReplaced)
		dead := errors.Is(o.Err, syscall.ECONNREFUSED) && o.Attempts > 1
		if dead || replaced || time.Since(o.Since) > l.timing.lostAfter {
			l.endAll(l.legs.All(), bridge.Failure, o.Err)
		}
		if replaced {
			l.standDown(ctx)
		}
	})
}

func (l *Link) redial(text string) pbx.Redial {
	return pbx.Redial{Min: l.timing.backoffMin, Max: l.timing.backoffMax, Log: l.opt.Log, Level: slog.LevelError, Text: text}
}

// session connects, serves until the connection breaks, and says why it did.
func (l *Link) session(serving context.Context, accept func(bridge.Offer)) error {
	ctx, cancel := context.WithCancelCause(serving)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel(nil)
	if err := errors.Join(l.checkVersion(ctx), l.checkRoute(ctx)); err != nil {
		return err
	}
	// What is here before we serve the application, and still is afterwards, was left behind.
	before, err := l.list(ctx)
	if err != nil {
		return explain(l.opt, err)
	}
	conn, err := l.rest.dialEvents(ctx, l.opt.App)
	if err != nil {
		return explain(l.opt, err)
	}
	defer conn.close()
	helpers.Go(func() { cancel(conn.watch(ctx, l.timing.ping)) })
	helpers.Go(func() {
		if err := l.registered(ctx); err != nil {
			cancel(err)
			return
		}
		l.enter()
		helpers.Go(func() { l.checkModules(ctx) })
		l.sweep(ctx, before)
	})
	// Legs outlive the session: they get the context of the link.
	err = conn.read(ctx, func(data []byte) error { return l.receive(serving, data, accept) })
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// registered waits until Asterisk lists our application: it answers the handshake a moment before that.
func (l *Link) registered(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, l.opt.RequestTimeout)
	defer cancel()
	path := "/applications/" + url.PathEscape(l.opt.App)
	var last error
	for {
		err := l.rest.get(limit, path, nil, nil)
		if err == nil {
			return nil
		}
		if last == nil || limit.Err() == nil {
			last = err
		}
		if !isNotFound(err) || !pbx.Sleep(limit, 5*time.Millisecond) {
			return fmt.Errorf("wait for asterisk to register the application: %w", last)
		}
	}
}

// enter declares the connection good.
func (l *Link) enter() {
	l.mu.Lock()
	l.down, l.since = nil, time.Now()
	l.mu.Unlock()
	l.opt.Log.Info("connected to asterisk", "app", l.opt.App, "rtp", l.port.LocalAddr())
}

// leave declares the connection lost, with the reason, and returns since when it was good, zero where it never was.
func (l *Link) leave(err error) (since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, l.since = l.since, time.Time{}
	l.down = fmt.Errorf("%w: %w", ErrNotConnected, err)
	return since
}

// checkVersion asks who is there, which finds a wrong address, user or password with a clear answer.
func (l *Link) checkVersion(ctx context.Context) error {
	info, err := l.rest.info(ctx)
	if err != nil {
		return explain(l.opt, err)
	}
	version := info.SystemInfo.Version
	if version == "" {
		return fmt.Errorf("what answers at %s is not asterisk's ARI: check url", l.opt.URL)
	}
	if major, known := majorVersion(version); known && major < oldestMajor {
		return fmt.Errorf("asterisk %s is too old, external media needs at least version %d", version, oldestMajor)
	}
	return nil
}

// modules are those that every call needs, and that ARI itself works without.
var modules = []string{"app_stasis.so", "chan_rtp.so", "res_rtp_asterisk.so"}

// checkModules says which modules are not loaded: Asterisk itself would only say that a request has failed.
func (l *Link) checkModules(ctx context.Context) {
	for _, name := range modules {
		if err := l.rest.get(ctx, "/asterisk/modules/"+name, nil, nil); isNotFound(err) {
			l.opt.Log.Error("asterisk lacks a module, calls will fail: load it and look at modules.conf",
				"module", name, "advice", "asterisk -rx 'module load "+name+"'")
		}
	}
}

// majorVersion reads "22.10.1~dfsg", "certified-20.7-cert1", "certified/18.9-cert4" and "GIT-22-a1b2c3".
func majorVersion(version string) (major int, known bool) {
	lower := strings.ToLower(version)
	for _, prefix := range []string{"certified", "git", "svn"} {
		lower = strings.TrimPrefix(lower, prefix)
	}
	digits := strings.TrimLeft(lower, "-/ ")
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	major, err := strconv.Atoi(digits)
	return major, err == nil
}

// standDown leaves the application to the process that took it over, until that is gone. While the application has
// channels it is listed whoever serves it: then it is taken back after a while, for the other may be dead.
func (l *Link) standDown(ctx context.Context) {
	l.opt.Log.Error("another process took the stasis application over: run one process for each application name, "+
		"or give each its own app; this one stands down until the other is gone", "app", l.opt.App)
	for busy := 0; busy < standDownLooks && pbx.Sleep(ctx, l.timing.standDown); {
		var app struct {
			Channels []string `json:"channel_ids"`
			Bridges  []string `json:"bridge_ids"`
		}
		err := l.rest.get(ctx, "/applications/"+url.PathEscape(l.opt.App), nil, &app)
		if err != nil {
			return // gone, or Asterisk is: both are the next session's matter
		}
		if len(app.Channels)+len(app.Bridges) > 0 {
			busy++
		}
	}
}

const standDownLooks = 20
