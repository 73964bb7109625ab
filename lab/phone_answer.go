package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Behaviour is what a phone does with an incoming call. The zero value answers at once.
type Behaviour struct {
	Silent bool          // without 180 Ringing
	After  time.Duration // from the INVITE, or the 180, to the final response
	Status int           // final response; 0 is 200
	Never  bool          // no final response: ring until the caller gives up
	Reason string        // Reason header of a refusal, such as `Q.850;cause=17`
}

// AnswerAfter rings, then answers.
func AnswerAfter(d time.Duration) Behaviour { return Behaviour{After: d} }

// Refuse answers with a SIP status, such as 486 (busy) or 603 (decline), after d.
func Refuse(status int, d time.Duration) Behaviour {
	return Behaviour{Silent: d == 0, Status: status, After: d}
}

// RingForever rings until the caller gives up.
func RingForever() Behaviour { return Behaviour{Never: true} }

// takeCall handles a new INVITE until the end of its call.
func (p *Phone) takeCall(req *sip.Request, tx sip.ServerTransaction) {
	remote, err := parseSession(req.Body())
	if err != nil {
		respond(req, tx, sip.StatusNotAcceptableHere, "Not Acceptable Here")
		return
	}
	audio, err := openAudio()
	if err != nil {
		respond(req, tx, sip.StatusInternalServerError, "Server Internal Error")
		return
	}
	c := newPhoneCall(p, req.CallID().Value(), audio)
	c.incoming, c.invite = true, req
	c.number, c.name = req.From().Address.User, req.From().DisplayName
	if !p.enter(c.id, c) {
		audio.close()
		respond(req, tx, sip.StatusTemporarilyUnavailable, "Temporarily Unavailable")
		return
	}
	if err := c.open(req, tx); err != nil {
		c.finish(err)
		return
	}
	select {
	case p.come <- c:
	default: // nobody has asked for the last ones either
	}
	p.mu.Lock()
	choose := p.answer
	p.mu.Unlock()
	c.finish(c.runIncoming(choose(c.number), remote))
}

func (c *PhoneCall) open(req *sip.Request, tx sip.ServerTransaction) error {
	if !tx.OnCancel(func(cancel *sip.Request) {
		c.ended(cancel)
		c.update(func(o *Outcome) { o.Status, o.StatusText = sip.StatusRequestTerminated, "Request Terminated" })
	}) {
		return sip.ErrTransactionCanceled
	}
	server, err := c.phone.dialogs.ReadInvite(req, tx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
	return err
}

// runIncoming does with the call what the behaviour says and returns when it is over.
func (c *PhoneCall) runIncoming(b Behaviour, remote session) error {
	if !b.Silent {
		if err := c.server.Respond(sip.StatusRinging, "Ringing", nil); err != nil {
			return c.unlessCancelled(err)
		}
		c.update(func(o *Outcome) { o.Ringing = time.Now() })
	}
	var after <-chan time.Time
	if !b.Never {
		timer := time.NewTimer(b.After)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-c.server.Context().Done(): // cancelled
		return nil
	case <-c.phone.ctx.Done():
		return c.refuse(sip.StatusTemporarilyUnavailable, "")
	case <-c.hangup:
		return c.refuse(sip.StatusGlobalDecline, "")
	case <-after:
	}
	if b.Status != 0 && b.Status != sip.StatusOK {
		return c.refuse(b.Status, b.Reason)
	}
	return c.accept(remote)
}

func (c *PhoneCall) refuse(status int, reason string) error {
	var headers []sip.Header
	if reason != "" {
		headers = append(headers, sip.NewHeader("Reason", reason))
	}
	text := statusTexts[status]
	c.update(func(o *Outcome) { o.Status, o.StatusText, o.Reason = status, text, reason })
	return c.unlessCancelled(c.server.Respond(status, text, nil, headers...))
}

var statusTexts = map[int]string{
	sip.StatusForbidden: "Forbidden", sip.StatusNotFound: "Not Found", sip.StatusTemporarilyUnavailable: "Temporarily Unavailable",
	sip.StatusBusyHere: "Busy Here", sip.StatusNotAcceptableHere: "Not Acceptable Here",
	sip.StatusServiceUnavailable: "Service Unavailable", sip.StatusGlobalDecline: "Decline",
}

// accept answers and waits for the end of the call.
func (c *PhoneCall) accept(remote session) error {
	payload, ok := c.agree(remote)
	if !ok {
		return c.refuse(sip.StatusNotAcceptableHere, "")
	}
	c.mu.Lock()
	c.local.payloads, c.local.event, c.local.direction = []uint8{payload}, remote.event, remote.direction.mirror()
	c.local.opus = remote.opus
	body := c.local.build()
	c.mu.Unlock()
	if err := c.begin(remote); err != nil {
		return err
	}
	headers := []sip.Header{sip.NewHeader("Content-Type", "application/sdp"), sip.NewHeader("Allow", allowed), sip.NewHeader("User-Agent", userAgent)}
	err := c.server.Respond(sip.StatusOK, "OK", body, headers...)
	if err != nil && c.server.LoadState() != sip.DialogStateEnded {
		return fmt.Errorf("answer: %w", err)
	}
	close(c.answered)
	c.waitHangup(context.Background(), c.server.Context().Done())
	if c.server.LoadState() == sip.DialogStateEnded {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), byeDeadline)
	defer cancel()
	return c.server.Bye(ctx)
}

// unlessCancelled takes out the error that only says that the caller gave up.
func (c *PhoneCall) unlessCancelled(err error) error {
	if errors.Is(err, sip.ErrTransactionCanceled) {
		return nil
	}
	return err
}
