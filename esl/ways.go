package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
)

const packetTime = 20 * time.Millisecond // what FreeSWITCH sends and takes best

// way is how audio gets in and out of FreeSWITCH. Open makes a media channel with that uuid, answered and parked, ready
// to be bridged, and returns its sound.
type way interface {
	open(ctx context.Context, o opening) (media.Flow, error)
}

// opening is what a media channel is to be.
type opening struct {
	id     string // its uuid
	format media.Format
	party  display // who speaks through it
}

// ways knows which way there is at the moment.
type ways struct {
	verto atomic.Pointer[vertoSession] // logged in; nil while there is none

	mu     sync.Mutex
	ready  chan struct{} // guarded by mu; closed when a way was chosen
	chosen way           // guarded by mu; nil while there is none
	why    error         // guarded by mu; why there is none
	failed error         // guarded by mu; why there is no session of mod_verto
	narrow bool          // guarded by mu; it was said that calls into the dialplan go through loopback
}

// sayNarrow warns, once for a connection, that the extension is missing with which calls into the dialplan have wideband audio.
func (w *ways) sayNarrow(o Options) {
	w.mu.Lock()
	said := w.narrow
	w.narrow = true
	w.mu.Unlock()
	if !said {
		o.Log.Warn("calls into the dialplan go through loopback channels, with 8 kHz: add an extension with the one action park, "+
			"as in docs/freeswitch.md, to the context of the verto profile", "extension", o.Verto.DialExtension)
	}
}

// choose makes a way the one for new calls; nil with a reason for none.
func (w *ways) choose(chosen way, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chosen, w.why = chosen, why
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

// way returns the way for a new media channel, and waits for the probe that chooses one.
func (l *Link) way(ctx context.Context) (way, error) {
	l.ways.mu.Lock()
	ready := l.ways.ready
	l.ways.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: it is not known yet which there is: %w", ErrNoMedia, ctx.Err())
	}
	l.ways.mu.Lock()
	defer l.ways.mu.Unlock()
	if l.ways.chosen == nil {
		return nil, fmt.Errorf("%w: %w", ErrNoMedia, l.ways.why)
	}
	return l.ways.chosen, nil
}

// keepVerto keeps one session of mod_verto after the other until ctx ends.
func (l *Link) keepVerto(ctx context.Context) {
	if l.opt.Verto.URL == "" {
		return
	}
	pbx.Redial{
		Min: l.timing.backoffMin, Max: l.timing.backoffMax,
		Log: l.opt.Log, Level: slog.LevelWarn, Text: "no websocket to mod_verto, trying again",
	}.Run(ctx, l.vertoSession, func(o pbx.Outage) {
		l.ways.mu.Lock()
		defer l.ways.mu.Unlock()
		l.ways.failed = o.Err
	})
}

// vertoSession opens a session, serves until it breaks, and says since when it was good, zero where it never was, and why
// it broke.
func (l *Link) vertoSession(serving context.Context) (since time.Time, err error) {
	ctx, cancel := context.WithCancelCause(serving)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	session, err := dialVerto(ctx, l.opt.Verto, l.opt.RequestTimeout, l.ids.next()+"-verto", l.vertoEnded)
	if err != nil {
		return since, err
	}
	defer session.close()
	began := time.Now()
	running.Go(func() {
		if err := session.login(ctx, l.opt.Verto); err != nil {
			cancel(err)
			return
		}
		l.opt.Log.Debug("logged in to mod_verto")
		l.ways.verto.Store(session)
		if err := session.watch(ctx, l.timing.watch); err != nil {
			cancel(err)
		}
	})
	err = session.read(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	running.Wait() // the login may have come about in the last moment
	if l.ways.verto.CompareAndSwap(session, nil) {
		since = began
		select {
		case l.unwitnessed <- struct{}{}:
		default:
		}
		for _, leg := range l.legs.All() {
			leg.inbox.Put(audioLost{session: session})
		}
	}
	return since, err
}

// vertoEnded hears that FreeSWITCH has ended a media channel: the event socket says so too, unless it is down.
func (l *Link) vertoEnded(call string) {
	if owner := l.legs.Owner(call); owner != nil && !l.Connected() {
		owner.inbox.Put(vanished{call})
	}
}

// vertoWay opens legs of mod_verto.
type vertoWay struct {
	link *Link
	base media.Format // the best that the profile takes, where nothing is known of the phone
}

func (w vertoWay) open(ctx context.Context, o opening) (media.Flow, error) {
	session, err := w.link.awaitVerto(ctx)
	if err != nil {
		return nil, err
	}
	o.format = w.format(o.format)
	flow, err := w.link.openVerto(ctx, session, o)
	var refused *legRefusedError
	if errors.As(err, &refused) && refused.cause == "INCOMPATIBLE_DESTINATION" && o.format != w.base {
		o.format = w.base
		return w.link.openVerto(ctx, session, o)
	}
	return flow, err
}

// format is what to ask for where f would be best: what the profile takes is known of L16 only.
func (w vertoWay) format(f media.Format) media.Format {
	if f.Codec == media.L16 {
		return w.base
	}
	return f
}

// awaitVerto returns the session of mod_verto; while that is being renewed it waits.
func (l *Link) awaitVerto(ctx context.Context) (*vertoSession, error) {
	for {
		if session := l.ways.verto.Load(); session != nil {
			return session, nil
		}
		if !pbx.Sleep(ctx, 10*time.Millisecond) {
			l.ways.mu.Lock()
			defer l.ways.mu.Unlock()
			return nil, fmt.Errorf("wait for mod_verto: %w", errors.Join(l.ways.failed, ctx.Err()))
		}
	}
}

func (l *Link) openVerto(ctx context.Context, session *vertoSession, o opening) (media.Flow, error) {
	here, err := l.advertised(ctx)
	if err != nil {
		return nil, err
	}
	sdp, err := session.open(ctx, invitation{o.id, l.opt.Verto.Extension, offerSDP(here, o.format), o.party})
	if err != nil {
		return nil, err
	}
	return l.openFlow(sdp, o.format)
}

// openFlow opens the sound of a leg that was answered with a session description.
func (l *Link) openFlow(sdp string, f media.Format) (media.Flow, error) {
	a, err := parseAnswer(sdp, f)
	if err != nil {
		return nil, fmt.Errorf("session description of mod_verto: %w", err)
	}
	if a.remote.Addr().IsUnspecified() {
		return nil, fmt.Errorf("session description of mod_verto names no address: set rtp-ip in verto.conf.xml")
	}
	return l.port.Open(a.remote, f, a.payload)
}

// advertised is where FreeSWITCH is told to send RTP.
func (l *Link) advertised(ctx context.Context) (netip.AddrPort, error) {
	at := l.port.Advertised()
	if !at.Addr().IsUnspecified() {
		return at, nil
	}
	host, _, err := net.SplitHostPort(l.opt.Address)
	if err != nil {
		return at, err
	}
	var dialer net.Dialer // a UDP "connection" sends nothing; the kernel chooses our address
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(host, "9"))
	if err != nil {
		return at, fmt.Errorf("find the way to freeswitch: %w", err)
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return at, fmt.Errorf("find the way to freeswitch: %w", err)
	}
	return netip.AddrPortFrom(local.Addr().Unmap(), at.Port()), nil
}

// explainVerto turns a failure of mod_verto into words that say what to do.
func explainVerto(o VertoOptions, err error) error {
	var refused *legRefusedError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: set <param name=\"bind-local\"> of a profile in autoload_configs/verto.conf.xml (%w)", o.URL, err)
	case errors.Is(err, errVertoLogin):
		return fmt.Errorf("login %s: compare with <user id> and its password in directory/, then reloadxml (%w)", o.Login, err)
	case errors.Is(err, errVertoMethod):
		return fmt.Errorf("login %s may not call: add <param name=\"jsonrpc-allowed-methods\" value=\"verto\"/> to the user or its domain in directory/ (%w)", o.Login, err)
	case errors.As(err, &refused) && refused.cause == "INCOMPATIBLE_DESTINATION":
		return fmt.Errorf("no codec in common: add L16@16000h@20i to <param name=\"inbound-codec-string\"> in autoload_configs/verto.conf.xml (%w)", err)
	case errors.As(err, &refused) && strings.Contains(refused.cause, "ROUTE"):
		return fmt.Errorf("there is no extension %s in the context of the verto profile: add one with the actions answer and park (%w)", refused.extension, err)
	}
	return err
}
