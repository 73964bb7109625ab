package esl

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Link is one FreeSWITCH as a trunk.
type Link struct {
	opt    Options
	timing timing
	ids    *ids
	tenure *tenure
	// unwitnessed holds a token when the WebSocket that the tenure may name was lost.
	unwitnessed chan struct{}

	started atomic.Bool
	port    *media.RTPPort // set by Run before anything uses it
	legs    pbx.Registry[*leg]
	ways    ways
	tasks   sync.WaitGroup // short work beside the legs: removing what nobody owns
	counts  frameCounts

	mu        sync.Mutex
	conn      *connection         // guarded by mu; nil while there is none
	early     []event             // guarded by mu; callers who came while conn was being prepared
	down      error               // guarded by mu; why there is no connection, nil while there is one
	since     time.Time           // guarded by mu; of the connection there is
	core      string              // guarded by mu; Core-UUID of the FreeSWITCH that our channels are in
	condemned map[string]struct{} // guarded by mu; channels that could not be hung up yet

	predecessor string    // guarded by mu; how the channels of who served the application before us begin, while it may live
	spared      time.Time // guarded by mu; until when they are left alone
}

// timing are the waits that tests shorten.
type timing struct {
	backoffMin, backoffMax time.Duration // between attempts to connect, before jitter
	watch                  time.Duration // between two looks whether the connections live
	sweep                  time.Duration // between two reconciliations
	lostAfter              time.Duration // how long calls go on while FreeSWITCH cannot be reached
	beat                   time.Duration // between two signs of life of who serves the application
	lease                  time.Duration // without one the application is anybody's
	bereft                 time.Duration // without one, and without the WebSocket that the last one named, as well
	standby                time.Duration // between two looks of who waits for it
	claim                  time.Duration // how long what was written where nothing was must stay
	settle                 time.Duration // before unicast may be sent to a channel that has just been answered
}

func defaultTiming() timing {
	return timing{
		backoffMin: 200 * time.Millisecond, backoffMax: 15 * time.Second, watch: 5 * time.Second, sweep: 10 * time.Second,
		lostAfter: 30 * time.Second, beat: time.Second, lease: 12 * time.Second, bereft: 2 * time.Second, standby: 250 * time.Millisecond,
		claim: 250 * time.Millisecond, settle: 300 * time.Millisecond,
	}
}

var (
	_ bridge.Trunk      = (*Link)(nil)
	_ bridge.ToneSender = (*leg)(nil)
	_ bridge.Searcher   = (*leg)(nil)
	_ bridge.Annotator  = (*leg)(nil)
)

// New checks the options and returns the link, which does nothing until Run.
func New(o Options) (*Link, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure freeswitch %q: %w", o.Name, err)
	}
	o.Log = o.Log.With("trunk", o.Name)
	l := &Link{opt: o, timing: defaultTiming(), ids: newIDs(o.App), down: ErrNotConnected, condemned: map[string]struct{}{},
		unwitnessed: make(chan struct{}, 1)}
	l.tenure = newTenure(o.App, l.ids.instance, o.Verto.Login)
	l.ways.ready = make(chan struct{})
	return l, nil
}

// ids makes the uuids of what we create in FreeSWITCH: it and we can tell by them whose a channel is.
type ids struct {
	mark     string // how they begin for this application, whichever process it was
	instance string // how they begin for this process
	count    atomic.Uint64
}

func newIDs(app string) *ids {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(app))
	mark := fmt.Sprintf("tgtrunk-%08x-", hash.Sum32())
	var random [4]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails
	return &ids{mark: mark, instance: mark + hex.EncodeToString(random[:]) + "-"}
}

// next returns the id of a new leg, which those of its channels begin with.
func (i *ids) next() string { return i.instance + strconv.FormatUint(i.count.Add(1), 10) }

// Name returns the trunk's name in the configuration.
func (l *Link) Name() string { return l.opt.Name }

// Kind implements bridge.KindReporter.
func (*Link) Kind() bridge.Kind { return bridge.FreeSWITCH }

// Connected reports whether calls can be made and taken at this moment.
func (l *Link) Connected() bool {
	_, err := l.current()
	return err == nil
}

// current returns the connection, or why there is none.
func (l *Link) current() (*connection, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.down
}

func (l *Link) verbs() verbs {
	conn, err := l.current()
	return verbs{conn, err}
}

// Run opens the RTP socket, keeps the connections to FreeSWITCH up until ctx ends and hands every call that the dialplan
// gives us to accept. What fails is logged and tried again. A link runs once: then it is an error.
func (l *Link) Run(ctx context.Context, accept func(bridge.Offer)) error {
	if l.started.Swap(true) {
		return fmt.Errorf("run freeswitch %q: it was run before", l.opt.Name)
	}
	port, err := pbx.Open(ctx, l.redial("no socket for freeswitch's audio, trying again: see rtp.listen"), func() (*media.RTPPort, error) {
		return media.ListenRTP(media.RTPOptions{Listen: l.opt.Media.Listen, Advertise: l.opt.Media.Advertise, Log: l.opt.Log})
	})
	if err == nil {
		defer port.Close()
		l.port = port
	}
	var listener net.Listener
	if err == nil {
		listener, err = pbx.Open(ctx, l.redial("no socket for freeswitch's calls, trying again: see socket.listen"), l.listenEntries)
	}
	if err != nil { // ctx has ended
		l.endAll(l.legs.Close(), bridge.AccountDown, nil)
		l.legs.Wait()
		return nil
	}

	// The connections outlive ctx by the time it takes to end the calls.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { l.stayConnected(serving, accept) })
	running.Go(func() { l.keepVerto(serving) })
	running.Go(func() { l.serveEntries(serving, listener, accept) })
	<-ctx.Done()
	l.endAll(l.legs.Close(), bridge.AccountDown, nil)
	l.legs.Wait()
	l.tasks.Wait()
	l.lastSweep(serving)
	l.giveBack(serving)
	stop()
	running.Wait()
	l.tasks.Wait() // who came in the last moment
	return nil
}

// Dial places a call into the dialplan, or to a dial string. Number of the target is not looked at.
func (l *Link) Dial(ctx context.Context, t routing.Target) bridge.Leg {
	leg := l.newLeg(ctx, "outbound")
	leg.role = &outbound{called: called{leg: leg, target: t}}
	leg.who.shown = displayOf(t.Caller.Name, t.Caller.Number)
	if !l.legs.Add(leg) {
		leg.setup.end()
		leg.out.End(bridge.Ended{Cause: bridge.CauseOf(bridge.AccountDown), Err: ErrNotConnected})
		return leg
	}
	go leg.run(ctx)
	return leg
}

// endAll ends legs from our side: those that are up normally, the others with the reason, and both with err.
func (l *Link) endAll(legs []*leg, reason bridge.Reason, err error) {
	for _, leg := range legs {
		leg.inbox.Put(closingOrder{reason, err})
		leg.setup.end()
	}
}

// receive takes one event of the socket; it does not block.
func (l *Link) receive(ctx context.Context, e event, accept func(bridge.Offer)) {
	ours := e.name == "CHANNEL_PARK" && e.variable(varApp) == l.opt.App && !e.heldBySocket()
	if ours && (l.keepEarly(e) || l.arrive(ctx, e, accept)) {
		return
	}
	if owner := l.legs.Owner(e.id); owner != nil {
		if ours && e.inDialplan() {
			owner.inbox.Put(parkedAgain{e, func() { l.enlist(ctx, e, nil, accept) }})
			return
		}
		owner.inbox.Put(e)
		return
	}
	if owner := l.legs.Owner(e.other); owner != nil && e.id != "" {
		owner.inbox.Put(e) // of a channel that a transfer has put into the call
		return
	}
	if owner := l.legs.Owner(e.half); owner != nil && e.half != "" {
		owner.inbox.Put(e) // of the half of our loopback channel that runs the dialplan
	}
}

// keepEarly keeps a caller for later who comes before the connection can be used.
func (l *Link) keepEarly(e event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		l.early = append(l.early, e)
	}
	return l.conn == nil
}

// arrive offers a channel that the dialplan gave us. It reports false where the channel belongs to a leg already, or is
// one of those that we made.
func (l *Link) arrive(ctx context.Context, e event, accept func(bridge.Offer)) bool {
	return !l.isOurs(e) && l.enlist(ctx, e, nil, accept)
}

// isOurs reports whether we have made a channel, and have not given it up since.
func (l *Link) isOurs(e event) bool {
	return strings.HasPrefix(e.id, l.ids.mark) && e.variable(varFree) != "true"
}

// enlist is arrive for channels that we may have made ourselves, and for those that came over our socket.
func (l *Link) enlist(ctx context.Context, e event, own *entry, accept func(bridge.Offer)) bool {
	if !validID(e.id) || l.legs.Owner(e.id) != nil {
		return false
	}
	if l.isCondemned(e.id) {
		return true
	}
	leg := l.newLeg(ctx, "inbound")
	leg.main.id = e.id
	leg.role = &inbound{leg: leg, start: e, entry: own, accept: accept}
	if !l.legs.Add(leg) {
		leg.setup.end()
		tasks := context.WithoutCancel(ctx)
		l.tasks.Go(func() { l.turnAway(tasks, e, own, bridge.AccountDown) })
		return true
	}
	l.legs.Confirm(e.id, leg)
	go leg.run(ctx)
	return true
}

// turnAway sends a caller's channel that has no leg on in the dialplan, or hangs it up.
func (l *Link) turnAway(ctx context.Context, e event, own *entry, reason bridge.Reason) {
	cause := bridge.CauseOf(reason)
	defer own.close()
	err := l.letGo(ctx, e.id, departure{variables: causeVariables(pbx.StatusOf(reason), cause), farewell: farewellOf(cause),
		onward: !e.answered(), entry: own != nil, failed: e.variable(varFailed)})
	if err != nil {
		l.opt.Log.Warn("cannot give a channel back to the dialplan", "channel", e.id, "error", err)
	}
}

// condemn notes a channel that is to be hung up as soon as FreeSWITCH can be asked to.
func (l *Link) condemn(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.condemned[id] = struct{}{}
}

func (l *Link) isCondemned(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, is := l.condemned[id]
	return is
}

// removeMedia ends a media channel, over whichever connection there is.
func (l *Link) removeMedia(ctx context.Context, id string) error {
	err := l.verbs().kill(ctx, id, "NORMAL_CLEARING")
	if err == nil {
		return nil
	}
	if session := l.ways.verto.Load(); session != nil {
		_ = session.bye(ctx, id)
	}
	l.condemn(id)
	return err
}
