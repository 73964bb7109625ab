package calls

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// API is what a Line asks of Telegram; *tg.Client has it all. It must not sleep over flood waits.
type API interface {
	MessagesGetDhConfig(context.Context, *tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error)
	PhoneRequestCall(context.Context, *tg.PhoneRequestCallRequest) (*tg.PhonePhoneCall, error)
	PhoneReceivedCall(context.Context, tg.InputPhoneCall) (bool, error)
	PhoneAcceptCall(context.Context, *tg.PhoneAcceptCallRequest) (*tg.PhonePhoneCall, error)
	PhoneConfirmCall(context.Context, *tg.PhoneConfirmCallRequest) (*tg.PhonePhoneCall, error)
	PhoneDiscardCall(context.Context, *tg.PhoneDiscardCallRequest) (tg.UpdatesClass, error)
	PhoneSendSignalingData(context.Context, *tg.PhoneSendSignalingDataRequest) (bool, error)
}

// ReceivedMode says when Telegram is told that an incoming call has been received (phone.receivedCall). From then on its
// caller hears ringing and waits for 90 s instead of 20 s, and Telegram refuses all other callers until that call has
// ended (https://core.telegram.org/method/phone.receivedCall).
type ReceivedMode uint8

// The modes.
const (
	// ReceivedNever takes any number of incoming calls at once. A call that is not accepted within Limits.Silent ends.
	ReceivedNever ReceivedMode = iota
	// ReceivedAtOnce lets every caller hear ringing.
	ReceivedAtOnce
	// ReceivedOnceTaken is ReceivedAtOnce for calls that somebody wants (Call.Taken); of others nothing is said.
	ReceivedOnceTaken
	// ReceivedLate says nothing of a call that is accepted within two seconds. Of any other it is said when the account has
	// no other call, and at the latest when Limits.Silent has passed and the caller would be lost.
	ReceivedLate
)

// Options shapes a Line. API and Self are required.
type Options struct {
	API       API
	Self      int64                             // the account's user id
	Net       *voip.Net                         // shared sockets; nil: every call opens its own
	Versions  []string                          // library versions we offer, best first; default signaling.Versions()
	RelayOnly bool                              // the peer learns relays' addresses only, also where Telegram allows peer to peer
	Engine    func(voip.Config) (Engine, error) // makes the engine of a call; default a *voip.Engine
	Received  ReceivedMode                      //
	Limits    Limits                            // ours
	Timeouts  Timeouts                          // Telegram's, until SetTimeouts
	Incoming  func(*Call)                       // every incoming call; must not block; nil: they are ignored
	Now       func() time.Time                  // Telegram's clock; default ours
	Log       *slog.Logger                      // nil discards
	Reference bool                              // adds signaling.ReferenceVersions to Versions: Telegram calls them test engines
	Prefer    voip.Preference                   // codec of the audio
	Other     media.Codec                       // what the other leg of a call speaks; 0: not known
}

// Line is all calls of one account.
type Line struct {
	opts   Options
	limits atomic.Pointer[Timeouts]
	groups groups
	log    *slog.Logger

	ending  chan struct{}  // closed when Run's ctx has ended
	running sync.WaitGroup // one for every call

	mu    sync.Mutex
	state lineState
	base  context.Context // of the last requests; ends some seconds after ending
	registry
}

// registry is what a Line knows of its calls, guarded by Line.mu.
type registry struct {
	calls   map[int64]*Call // by call id, from the moment the id is known to the end
	live    map[*Call]bool  // that run
	waiting []*Call         // placed or come in before Run
	parked  parking         // what came for ids that are not known yet
	lost    map[*Call]bool  // that have ended, while Telegram may have them
	over    graveyard       // ids of calls that have ended
}

type lineState uint8

const (
	lineNew lineState = iota
	lineUp
	lineDown
)

// errLineClosed is behind an Error of kind Closed.
var errLineClosed = errors.New("the line is not running")

// New makes the line of an account; nothing runs until Run, and calls that begin before wait for it.
func New(o Options) *Line {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Versions) == 0 {
		o.Versions = defaultVersions()
	}
	if o.Reference {
		o.Versions = withReference(o.Versions)
	}
	if o.Engine == nil {
		o.Engine = newVoip
	}
	o.Limits = o.Limits.withDefaults()
	l := &Line{
		opts:     o,
		log:      o.Log,
		ending:   make(chan struct{}),
		base:     context.Background(),
		registry: registry{calls: make(map[int64]*Call), live: make(map[*Call]bool), parked: make(parking), lost: make(map[*Call]bool), over: make(graveyard)},
	}
	l.SetTimeouts(o.Timeouts)
	return l
}

// Run carries the calls until ctx ends, which ends and discards all of them; it returns nil when that is done, some
// seconds after ctx at the latest. It is called once. The API must answer until Run has returned.
func (l *Line) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l.mu.Lock()
	if l.state != lineNew {
		l.mu.Unlock()
		return errors.New("line has been run before")
	}
	l.state, l.base = lineUp, base
	for _, c := range l.waiting {
		l.startLocked(c)
	}
	l.waiting = nil
	l.mu.Unlock()

	<-ctx.Done()
	l.mu.Lock()
	l.state = lineDown
	l.mu.Unlock()
	close(l.ending)
	limit := time.AfterFunc(l.opts.Limits.Discard, cancel)
	defer limit.Stop()
	l.running.Wait()
	return nil
}

func (l *Line) closing() bool {
	select {
	case <-l.ending:
		return true
	default:
		return false
	}
}

// Place calls a user and returns at once; what becomes of it comes as the call's events.
func (l *Line) Place(peer tg.InputUserClass) *Call {
	c := newCall(l, true)
	c.target = peer
	if u, ok := peer.(*tg.InputUser); ok {
		c.facts.participant.Store(u.UserID)
	}
	if !l.start(c) {
		c.refuse(&Error{Kind: Closed, Err: errLineClosed})
	}
	return c
}

// start lets the call's goroutine go, unless the line is down.
func (l *Line) start(c *Call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.startLocked(c)
}

func (l *Line) startLocked(c *Call) bool {
	switch l.state {
	case lineDown:
		return false
	case lineNew:
		l.waiting = append(l.waiting, c)
		return true
	}
	c.base = l.base
	l.live[c] = true
	l.running.Go(c.run)
	return true
}

// HandleCall takes an updatePhoneCall. It never blocks and never fails.
func (l *Line) HandleCall(_ context.Context, u *tg.UpdatePhoneCall) error {
	if u.PhoneCall == nil {
		return nil
	}
	if requested, ok := u.PhoneCall.(*tg.PhoneCallRequested); ok {
		if c := l.admit(requested); c != nil {
			l.opts.Incoming(c)
		}
		return nil
	}
	l.deliver(u.PhoneCall.GetID(), parcel{call: u.PhoneCall})
	return nil
}

// HandleSignaling takes an updatePhoneCallSignalingData. It never blocks and never fails.
func (l *Line) HandleSignaling(_ context.Context, u *tg.UpdatePhoneCallSignalingData) error {
	l.deliver(u.PhoneCallID, parcel{signal: u.Data})
	return nil
}

// deliver brings what came for a call to the call, or parks it where the call is not known (yet).
func (l *Line) deliver(id int64, p parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.calls[id]; c != nil {
		c.post(p)
		return
	}
	if l.over.has(id, time.Now()) || l.state == lineDown {
		return
	}
	if !l.parked.put(id, p, time.Now()) {
		l.log.Debug("dropped update of an unknown call", "tg_call", id)
	}
	l.findLost()
}

// admit makes a call of a phoneCallRequested, or returns nil where there is nothing to do for us: a call that is known
// already (updates come twice after a gap), one of our own, or one whose caller has long given up.
func (l *Line) admit(r *tg.PhoneCallRequested) *Call {
	log := l.log.With("tg_call", r.ID)
	if l.opts.Incoming == nil || r.AdminID == l.opts.Self || r.ParticipantID != l.opts.Self {
		log.Debug("ignored call that is not for this account", "from", r.AdminID, "to", r.ParticipantID)
		return nil
	}
	if age := l.opts.Now().Sub(time.Unix(int64(r.Date), 0)); age > l.timeouts().Ring {
		log.Info("ignored call that came too late", "age", age.Round(time.Second))
		return nil
	}
	c := newCall(l, false)
	c.id, c.accessHash, c.commitment = r.ID, r.AccessHash, r.GAHash
	c.alarm.date = time.Unix(int64(r.Date), 0)
	c.facts.id.Store(r.ID)
	c.facts.admin.Store(r.AdminID)
	c.facts.participant.Store(r.ParticipantID)
	c.log = log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[r.ID] != nil || l.over.has(r.ID, time.Now()) || !l.startLocked(c) {
		return nil
	}
	l.register(c, r.ID)
	return c
}

// adopt makes the call known by the id that phone.requestCall has given it.
func (l *Line) adopt(c *Call, id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.register(c, id)
	l.findLost()
}

// register hands the call what came before it. l.mu is held.
func (l *Line) register(c *Call, id int64) {
	l.calls[id] = c
	for _, p := range l.parked.take(id, time.Now()) {
		c.post(p)
	}
}

// alone says whether a call is the account's only one.
func (l *Line) alone(c *Call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.live) == 1 && l.live[c]
}

// leave is called when a call is over. Whether the others ring may depend on it.
func (l *Line) leave(c *Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, c)
	l.findLost()
	if l.opts.Received != ReceivedLate {
		return
	}
	for other := range l.live {
		if !other.outgoing {
			other.mail.post(other.reconsider)
		}
	}
}

// forget is called when a call has ended, before it is discarded.
func (l *Line) forget(c *Call, id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls[id] == c {
		delete(l.calls, id)
	}
	l.parked.take(id, time.Now())
	l.over.put(id, time.Now())
}
