package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// Outcome is what a call has come to. Times are zero for what has not happened.
type Outcome struct {
	Began    time.Time // the INVITE was sent or came
	Trying   time.Time // 100
	Ringing  time.Time // first 180
	Progress time.Time // first 183
	Answered time.Time // 200
	Ended    time.Time

	Status     int    // final status of the INVITE: 200, 486, 487…; 0 when none came
	StatusText string // its reason phrase
	Reason     string // Reason header (RFC 3326) of the final response, the BYE or the CANCEL
	RetryAfter string // Retry-After header of the final response
	FarEnd     bool   // the other side ended it
	Err        error  // why the phone gave up, when it was no ordinary end
}

// Q850 is the cause in the Reason header, 0 when there is none.
func (o Outcome) Q850() int {
	for reason := range strings.SplitSeq(o.Reason, ",") {
		protocol, parameters, _ := strings.Cut(strings.TrimSpace(reason), ";")
		if !strings.EqualFold(strings.TrimSpace(protocol), "Q.850") {
			continue
		}
		for parameter := range strings.SplitSeq(parameters, ";") {
			if value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "cause="); ok {
				cause, _ := strconv.Atoi(value)
				return cause
			}
		}
	}
	return 0
}

// PhoneCall is one call of a Phone, in either direction. Safe for concurrent use.
type PhoneCall struct {
	phone  *Phone
	id     string // Call-ID
	audio  *Audio
	client *sipgo.DialogClientSession // outgoing; set once, under mu for the sake of what the network brings
	server *sipgo.DialogServerSession // incoming; set once, under mu as well

	incoming   bool
	number     string // of the other side
	name       string
	invite     *sip.Request // incoming: as it came
	hangupOnce sync.Once
	hangup     chan struct{} // closed by Hangup
	answered   chan struct{}
	over       chan struct{} // closed when nothing of the call is left
	transfer   chan int      // final status of a transfer, one at most

	mu      sync.Mutex
	outcome Outcome   // guarded by mu
	local   session   // guarded by mu; our session description
	holding direction // guarded by mu; what the other side said last
	shown   []Display // guarded by mu; identities the other side has asserted since the INVITE, the newest last
}

func newPhoneCall(p *Phone, id string, audio *Audio) *PhoneCall {
	c := &PhoneCall{
		phone: p, id: id, audio: audio, hangup: make(chan struct{}), answered: make(chan struct{}), over: make(chan struct{}),
		transfer: make(chan int, 1),
		outcome:  Outcome{Began: time.Now()},
		local:    session{addr: audio.local(), payloads: p.payloads(), event: payloadEvent, opus: payloadOpus, direction: sendRecv},
		holding:  sendRecv,
	}
	if p.options.Tone > 0 {
		audio.PlayTone(p.options.Tone)
	}
	return c
}

// ID is the SIP Call-ID, which ARI shows as the channel's protocol_id.
func (c *PhoneCall) ID() string { return c.id }

// Incoming reports whether the other side called.
func (c *PhoneCall) Incoming() bool { return c.incoming }

// Number is the number of the other side: dialled, or the caller's.
func (c *PhoneCall) Number() string { return c.number }

// Name is the caller's display name, of an incoming call.
func (c *PhoneCall) Name() string { return c.name }

// Header is the value of a header of an incoming INVITE, "" when it has none.
func (c *PhoneCall) Header(name string) string {
	if c.invite == nil {
		return ""
	}
	if h := c.invite.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// Audio is the sound of the call. What it has recorded stays after the end.
func (c *PhoneCall) Audio() *Audio { return c.audio }

// Outcome is what the call has come to so far.
func (c *PhoneCall) Outcome() Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outcome
}

// Answered is closed when the call has been answered.
func (c *PhoneCall) Answered() <-chan struct{} { return c.answered }

// Over is closed when the call has ended and nothing of it is left.
func (c *PhoneCall) Over() <-chan struct{} { return c.over }

// WaitAnswered waits for the answer. The error says how the call ended instead.
func (c *PhoneCall) WaitAnswered(ctx context.Context) error {
	select {
	case <-c.answered:
		return nil
	case <-c.over:
		select {
		case <-c.answered:
			return nil
		default:
		}
		o := c.Outcome()
		return fmt.Errorf("call was not answered: %d %s: %w", o.Status, o.StatusText, errors.Join(errNotAnswered, o.Err))
	case <-ctx.Done():
		return fmt.Errorf("wait for the answer: %w", ctx.Err())
	}
}

var errNotAnswered = errors.New("call ended before the answer")

// WaitOver waits for the end and returns the outcome.
func (c *PhoneCall) WaitOver(ctx context.Context) (Outcome, error) {
	select {
	case <-c.over:
		return c.Outcome(), nil
	case <-ctx.Done():
		return c.Outcome(), fmt.Errorf("wait for the end of the call: %w", ctx.Err())
	}
}

// Hangup ends the call, whatever its state: CANCEL or BYE, or 603 for one that rings here. It returns at once.
func (c *PhoneCall) Hangup() { c.hangupOnce.Do(func() { close(c.hangup) }) }

// OnHold reports whether the other side has put this call on hold.
func (c *PhoneCall) OnHold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holding == sendOnly || c.holding == inactive
}

// dialog returns the one of the two that there is.
func (c *PhoneCall) dialog() (*sipgo.DialogClientSession, *sipgo.DialogServerSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.client, c.server
}

func (c *PhoneCall) update(f func(o *Outcome)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.outcome)
}

// begin notes the time of the answer and starts to send audio.
func (c *PhoneCall) begin(remote session) error {
	payload, ok := c.agree(remote)
	if !ok {
		return errNoCodec
	}
	if err := c.audio.connect(remote.addr, payload, remote.event, remote.opus); err != nil {
		return err
	}
	c.audio.start()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = remote.direction
	c.outcome.Status, c.outcome.StatusText, c.outcome.Answered = sip.StatusOK, "OK", time.Now()
	return nil
}

var errNoCodec = errors.New("no common codec")

// agree picks the first of our payload types that the other side has too.
func (c *PhoneCall) agree(remote session) (payload uint8, ok bool) {
	for _, ours := range c.phone.payloads() {
		if ours == payloadOpus {
			if remote.opus == 0 {
				continue
			}
			ours = remote.opus
		}
		if slices.Contains(remote.payloads, ours) {
			return ours, true
		}
	}
	return 0, false
}

// ended notes that the other side ended the call with req, a BYE or a CANCEL.
func (c *PhoneCall) ended(req *sip.Request) {
	c.update(func(o *Outcome) {
		o.FarEnd = true
		o.Reason = reasonOf(req.GetHeaders("Reason"))
	})
}

func (c *PhoneCall) readBye(req *sip.Request, tx sip.ServerTransaction) {
	var err error
	switch client, server := c.dialog(); {
	case client != nil:
		err = client.ReadBye(req, tx)
	case server != nil:
		err = server.ReadBye(req, tx)
	}
	if err != nil {
		c.phone.log.Debug("take bye", "err", err)
	}
}

// finish closes what the call has. err is nil for an ordinary end.
func (c *PhoneCall) finish(err error) {
	c.audio.close()
	c.update(func(o *Outcome) { o.Ended, o.Err = time.Now(), err })
	c.phone.leave(c.id)
	close(c.over)
	o := c.Outcome()
	c.phone.log.Debug("call ended", "call", c.id, "status", o.Status, "reason", o.Reason, "far_end", o.FarEnd, "err", err)
}

func reasonOf(headers []sip.Header) string {
	var all []string
	for _, h := range headers {
		all = append(all, h.Value())
	}
	return strings.Join(all, ", ")
}
