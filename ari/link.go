package ari

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// Link is one Asterisk as a trunk.
type Link struct {
	opt       Options
	rest      *rest
	timing    timing
	ids       *ids
	started   atomic.Bool
	port      *media.RTPPort // set by Run before anything uses it
	legs      pbx.Registry[*leg]
	tasks     sync.WaitGroup // short work beside the legs: removing what nobody owns
	malformed atomic.Uint64  // events that could not be read

	mu    sync.Mutex
	down  error     // guarded by mu; why there is no connection, nil while there is one
	since time.Time // guarded by mu; of the connection there is
}

// timing are the waits that tests shorten.
type timing struct {
	backoffMin, backoffMax time.Duration // between attempts to connect, before jitter
	ping                   time.Duration // between two looks whether the event socket lives
	sweep                  time.Duration // between two reconciliations
	lostAfter              time.Duration // how long calls go on while Asterisk cannot be reached
	standDown              time.Duration // between looks whether the process that replaced us is still there
}

func defaultTiming() timing {
	return timing{
		backoffMin: 500 * time.Millisecond, backoffMax: 30 * time.Second, ping: 5 * time.Second, sweep: 10 * time.Second,
		lostAfter: 30 * time.Second, standDown: 30 * time.Second,
	}
}

var (
	_ bridge.Trunk      = (*Link)(nil)
	_ bridge.ToneSender = (*leg)(nil)
	_ bridge.Searcher   = (*leg)(nil)
)

// New checks the options and returns the link, which does nothing until Run.
func New(o Options) (*Link, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure asterisk %q: %w", o.Name, err)
	}
	o.Log = o.Log.With("trunk", o.Name)
	return &Link{opt: o, rest: newREST(o), timing: defaultTiming(), ids: newIDs(o.App), down: ErrNotConnected}, nil
}

// ids makes the ids of what we create in Asterisk: it and we can tell by them whose a thing is.
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

// made says whether a channel or bridge is one that this application made.
func (i *ids) made(id string) bool { return strings.HasPrefix(id, i.mark) }

// isFar says whether a channel is the half of a Local channel of ours that runs the dialplan.
func (i *ids) isFar(id string) bool { return i.made(id) && strings.HasSuffix(id, farSuffix) }

const farSuffix = "-far"

// Name returns the trunk's name in the configuration.
func (l *Link) Name() string { return l.opt.Name }

// Kind implements bridge.KindReporter.
func (*Link) Kind() bridge.Kind { return bridge.Asterisk }

// Connected reports whether calls can be made and taken at this moment.
func (l *Link) Connected() bool { return l.connected() == nil }

// connected returns why there is no connection, or nil.
func (l *Link) connected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

// Run opens the RTP socket, keeps the connection to Asterisk up until ctx ends and hands every call that enters the
// Stasis application to accept. What fails is logged and tried again. A link runs once: then it is an error.
func (l *Link) Run(ctx context.Context, accept func(bridge.Offer)) error {
	if l.started.Swap(true) {
		return fmt.Errorf("run asterisk %q: it was run before", l.opt.Name)
	}
	defer l.rest.close()
	port, err := pbx.Open(ctx, l.redial("no socket for asterisk's audio, trying again: see rtp.listen"), func() (*media.RTPPort, error) {
		return media.ListenRTP(media.RTPOptions{Listen: l.opt.Media.Listen, Log: l.opt.Log})
	})
	if err != nil { // ctx has ended
		l.endAll(l.legs.Close(), bridge.AccountDown, nil)
		l.legs.Wait()
		return nil
	}
	defer port.Close()
	l.port = port

	// The connection outlives ctx by the time it takes to end the calls.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var connection sync.WaitGroup
	connection.Go(func() { l.stayConnected(serving, accept) })
	<-ctx.Done()
	l.endAll(l.legs.Close(), bridge.AccountDown, nil)
	l.legs.Wait()
	l.lastSweep(serving)
	stop()
	connection.Wait()
	l.tasks.Wait()
	return nil
}

// Dial places a call into the dialplan, or to an endpoint. Number of the target is not looked at.
func (l *Link) Dial(ctx context.Context, t routing.Target) bridge.Leg {
	leg := l.newLeg(ctx, "outbound")
	leg.role = &outbound{leg: leg, target: t}
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

// receive takes one message of the event socket; it does not block.
func (l *Link) receive(ctx context.Context, data []byte, accept func(bridge.Offer)) error {
	e, err := decodeEvent(data)
	switch {
	case errors.Is(err, errIgnored):
		return nil
	case err != nil:
		// 1, 2, 4, 8, …: a new Asterisk with another idea of an event must not fill the log.
		if n := l.malformed.Add(1); n&(n-1) == 0 {
			l.opt.Log.Warn("asterisk sent an event that cannot be read", "error", err, "so_far", n)
		}
		return nil
	case e.GetApplication() != l.opt.App:
		return nil
	}
	switch event := e.Event.(type) {
	case *ariapi.ApplicationReplaced:
		return ErrReplaced
	case *ariapi.StasisStart:
		if l.arrive(ctx, event, accept) {
			return nil
		}
	}
	owner := l.legs.Owner(e.channel)
	if owner == nil && e.by != "" {
		owner = l.legs.Owner(e.by)
	}
	if owner != nil {
		owner.inbox.Put(e)
	}
	return nil
}

// arrive sorts out who a channel that enters our application belongs to. It reports true when it has dealt with it. One
// that we made enters without arguments; with some the dialplan calls us, to which it was redirected or transferred.
func (l *Link) arrive(ctx context.Context, start *ariapi.StasisStart, accept func(bridge.Offer)) bool {
	id := start.Channel.GetID()
	if old := start.ReplaceChannel.GetID(); old != "" {
		if owner := l.legs.Owner(old); owner != nil {
			l.legs.Confirm(id, owner)
			return false
		}
	}
	tasks := context.WithoutCancel(ctx) // a task is bounded by its requests' deadlines
	owner, called := l.legs.Owner(id), !l.ids.made(id) || len(start.Args) > 0
	switch {
	case owner != nil && !called: // it has been answered, or is there
		return false
	case owner != nil && !l.ids.isFar(id):
		// It was redirected, and has come to another Stasis() before its leg has heard that it left the first.
		l.tasks.Go(func() { l.arriveAgain(tasks, start, owner, accept) })
		return true
	case owner == nil && (!called || start.ReplaceChannel.GetID() != ""):
		// Asked for by a leg that has ended meanwhile, or in the place of its channel.
		l.tasks.Go(func() { l.logOrphan("channel", id, l.rest.hangup(tasks, id, normalClearing)) })
		return true
	}
	leg := l.newLeg(ctx, "inbound")
	leg.channel = id
	leg.role = &inbound{leg: leg, start: start, accept: accept}
	if !l.legs.Add(leg) {
		leg.setup.end()
		l.tasks.Go(func() { l.turnAway(tasks, id, bridge.AccountDown) })
		return true
	}
	l.legs.Confirm(id, leg)
	go leg.run(ctx)
	return true
}

// arriveAgain is arrive for a channel whose leg has yet to hear that it has left; until then its events are that one's.
func (l *Link) arriveAgain(ctx context.Context, start *ariapi.StasisStart, owner *leg, accept func(bridge.Offer)) {
	id := start.Channel.GetID()
	for limit := time.Now().Add(2 * l.opt.RequestTimeout); l.legs.Owner(id) == owner; {
		if !pbx.Sleep(ctx, releasePause) || time.Now().After(limit) {
			l.opt.Log.Warn("a caller who has come again is still in another call", "channel", id)
			return // found and given back to the dialplan by a sweep, once that call is over
		}
	}
	l.arrive(ctx, start, accept)
}

// releasePause is between two looks whether a leg has given its channel up.
const releasePause = 10 * time.Millisecond

// turnAway sends a caller's channel that has no leg on in the dialplan.
func (l *Link) turnAway(ctx context.Context, id string, reason bridge.Reason) {
	cause := bridge.CauseOf(reason)
	err := l.rest.setVariables(ctx, id, causeVariables(pbx.StatusOf(reason), cause))
	if leaveErr := l.rest.leave(ctx, id); leaveErr != nil {
		err = errors.Join(err, leaveErr, l.rest.hangup(ctx, id, cause.Q850))
	}
	if err != nil && !isNotFound(err) {
		l.opt.Log.Warn("cannot give a channel back to the dialplan", "channel", id, "error", err)
	}
}
