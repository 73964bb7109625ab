package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

func (l *Link) redial(text string) pbx.Redial {
	return pbx.Redial{Min: l.timing.backoffMin, Max: l.timing.backoffMax, Log: l.opt.Log, Level: slog.LevelError, Text: text}
}

// stayConnected keeps one session after the other until ctx ends. When FreeSWITCH could not be reached for too long the
// calls end; until then they go on: FreeSWITCH keeps them.
func (l *Link) stayConnected(ctx context.Context, accept func(bridge.Offer)) {
	l.redial("no connection to freeswitch, trying again").Run(ctx, func(ctx context.Context) (time.Time, error) {
		err := l.session(ctx, accept)
		return l.leave(err), err
	}, func(o pbx.Outage) {
		if errors.Is(o.Err, ErrReplaced) || time.Since(o.Since) > l.timing.lostAfter {
			l.endAll(l.legs.All(), bridge.Failure, o.Err)
		}
	})
}

// session connects, serves until the connection breaks, and says why it did.
func (l *Link) session(serving context.Context, accept func(bridge.Offer)) error {
	ctx, cancel := context.WithCancelCause(serving)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	socket, err := dialSocket(ctx, l.opt.Address, l.opt.Password, l.opt.RequestTimeout, &l.counts)
	if err != nil {
		return explain(l.opt, err)
	}
	defer socket.close()
	conn := newConnection(socket, l.opt.RequestTimeout)
	running.Go(func() {
		if err := l.serve(ctx, conn, accept); err != nil {
			cancel(err)
		}
	})
	// Legs outlive the session: they get the context of the link.
	err = conn.run(ctx, func(e event) { l.receive(serving, e, accept) })
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// serve prepares a connection that is being read, declares it good, and looks after it until ctx ends.
func (l *Link) serve(ctx context.Context, conn *connection, accept func(bridge.Offer)) error {
	if _, err := conn.ask(ctx, "event json BACKGROUND_JOB"); err != nil { // what is asked is answered by these
		return err
	}
	if err := l.hold(ctx, verbs{conn: conn}); err != nil {
		return err
	}
	if _, err := conn.ask(ctx, "event json "+subscription); err != nil {
		return err
	}
	version, err := conn.api(ctx, "version")
	if err != nil {
		return err
	}
	core, err := conn.api(ctx, "global_getvar", "core_uuid")
	if err != nil {
		return err
	}
	if core == "" {
		core = conn.coreUUID()
	}
	before, err := l.list(ctx, verbs{conn: conn})
	if err != nil {
		return err
	}
	if since, _ := l.tenure.renewed(); time.Since(since) > l.timing.beat { // all that has taken long
		if err := l.renew(ctx, verbs{conn: conn}, since.Add(l.timing.fence())); err != nil {
			return err
		}
	}
	for _, e := range l.enter(conn, core, version) {
		l.receive(context.WithoutCancel(ctx), e, accept)
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching.Go(func() { l.probe(ctx, conn) })
	watching.Go(func() { l.sweep(ctx, before, accept) })
	return l.keep(ctx, verbs{conn: conn})
}

// enter declares the connection good and returns the callers who have come meanwhile. If FreeSWITCH is another process
// than before nothing of the old calls exists.
func (l *Link) enter(conn *connection, core, version string) (early []event) {
	l.mu.Lock()
	restarted := l.core != "" && l.core != core
	if restarted {
		clear(l.condemned)
	}
	l.conn, l.down, l.since, l.core = conn, nil, time.Now(), core
	early, l.early = l.early, nil
	l.mu.Unlock()
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "FreeSWITCH Version "), " ")
	l.opt.Log.Info("connected to freeswitch", "app", l.opt.App, "version", version, "rtp", l.port.LocalAddr())
	if restarted {
		l.endAll(l.legs.All(), bridge.Failure, ErrRestarted)
	}
	return early
}

// leave declares the connection lost, with the reason, and returns since when it was good, zero where it never was.
func (l *Link) leave(err error) (since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, l.since, l.conn, l.early = l.since, time.Time{}, nil, nil
	l.down = fmt.Errorf("%w: %w", ErrNotConnected, err)
	return since
}

// explain turns the failure of a connection attempt into words that say what to do.
func explain(o Options, err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, errPassword):
		return fmt.Errorf("freeswitch at %s refuses the password: compare with <param name=\"password\"> of "+
			"autoload_configs/event_socket.conf.xml, then \"reload mod_event_socket\"", o.Address)
	case errors.Is(err, errRejected):
		return fmt.Errorf("freeswitch at %s refuses our address: name it in <param name=\"apply-inbound-acl\"> of "+
			"autoload_configs/event_socket.conf.xml; without that only loopback may connect", o.Address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is freeswitch running, with mod_event_socket loaded and this listen-ip "+
			"and listen-port in autoload_configs/event_socket.conf.xml? (%w)", o.Address, err)
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s has no address: check address (%w)", o.Address, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("freeswitch at %s does not answer within %v: check address, firewall and load (%w)",
			o.Address, o.RequestTimeout, err)
	}
	return fmt.Errorf("connect to freeswitch at %s: %w", o.Address, err)
}
