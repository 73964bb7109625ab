package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// allowed are the methods a phone takes, as its Allow header says.
const allowed = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, NOTIFY, UPDATE, REFER"

// userAgent is what phones call themselves. FreeSWITCH sends updates to nobody who has no name.
const userAgent = "tgtrunk-lab"

// CallOptions describe the caller of one call.
type CallOptions struct {
	FromNumber string       // default: the phone's name
	FromName   string       // display name, UTF-8
	Headers    []sip.Header // more headers of the INVITE
}

// Call dials and returns when the INVITE has been sent. The call is hung up when ctx ends.
func (p *Phone) Call(ctx context.Context, number string, o CallOptions) (*PhoneCall, error) {
	invite, err := p.newInvite(number, o)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", number, err)
	}
	audio, err := openAudio()
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", number, err)
	}
	c := newPhoneCall(p, invite.CallID().Value(), audio)
	c.number = number
	invite.SetBody(c.local.build())
	if !p.enter(c.id, c) {
		audio.close()
		return nil, fmt.Errorf("call %s: %w", number, ErrPhoneClosed)
	}
	client, err := p.dialogs.WriteInvite(p.ctx, invite)
	c.mu.Lock()
	c.client = client
	c.mu.Unlock()
	if err != nil {
		c.finish(err)
		return nil, fmt.Errorf("call %s: %w", number, err)
	}
	go c.runOutgoing(ctx)
	return c, nil
}

func (p *Phone) newInvite(number string, o CallOptions) (*sip.Request, error) {
	p.mu.Lock()
	server := p.server
	p.mu.Unlock()
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return nil, fmt.Errorf("server address: %w", err)
	}
	portNumber, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("server address: %w", err)
	}
	if o.FromNumber == "" {
		o.FromNumber = p.options.Name
	}
	if strings.ContainsAny(o.FromName, "\r\n\"\\") {
		return nil, fmt.Errorf("name %q cannot be a display name", o.FromName)
	}
	target := sip.Uri{Scheme: "sip", User: userPart(number), Host: host, Port: portNumber}
	invite := sip.NewRequest(sip.INVITE, target)
	from := &sip.FromHeader{DisplayName: o.FromName, Address: sip.Uri{Scheme: "sip", User: userPart(o.FromNumber), Host: "127.0.0.1"}}
	from.Params.Add("tag", sip.GenerateTagN(16))
	callID := sip.CallIDHeader(sip.GenerateTagN(24) + "@lab")
	invite.AppendHeader(from)
	invite.AppendHeader(&callID)
	invite.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	invite.AppendHeader(sip.NewHeader("Allow", allowed))
	invite.AppendHeader(sip.NewHeader("User-Agent", userAgent))
	invite.AppendHeader(sip.NewHeader(phoneHeader, p.options.Name))
	for _, h := range append(p.options.Headers, o.Headers...) {
		invite.AppendHeader(h)
	}
	return invite, nil
}

// userPart escapes what may not stand in the user part of a URI (RFC 3261 §25.1), such as #.
func userPart(number string) string {
	return strings.NewReplacer("+", "%20", "%2B", "+", "%2A", "*").Replace(url.QueryEscape(number))
}

// runOutgoing follows the call from the INVITE to the end.
func (c *PhoneCall) runOutgoing(ctx context.Context) {
	wait, giveUp := context.WithCancelCause(context.Background())
	defer giveUp(nil)
	provisional, final := make(chan struct{}, 1), make(chan struct{})
	cancelled := make(chan struct{})
	go func() {
		defer close(cancelled)
		if c.waitHangup(ctx, final) {
			c.cancelInvite(provisional, final, giveUp)
		}
	}()
	err := c.client.WaitAnswer(wait, sipgo.AnswerOptions{OnResponse: func(res *sip.Response) error {
		c.note(res)
		if res.IsProvisional() {
			select {
			case provisional <- struct{}{}:
			default:
			}
		}
		return nil
	}})
	close(final)
	<-cancelled
	if err == nil {
		err = c.talk(ctx)
	}
	var refused *sipgo.ErrDialogResponse
	if errors.As(err, &refused) {
		err = nil // the outcome says it
	}
	c.finish(err)
}

// waitHangup waits until the call is to be ended here; false when final was closed before.
func (c *PhoneCall) waitHangup(ctx context.Context, final <-chan struct{}) bool {
	select {
	case <-c.hangup:
	case <-ctx.Done():
	case <-c.phone.ctx.Done():
	case <-final:
		return false
	}
	return true
}

// cancelInvite takes the INVITE back. A CANCEL may be sent only after a provisional response (RFC 3261 §9.1).
func (c *PhoneCall) cancelInvite(provisional, final <-chan struct{}, giveUp context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), byeDeadline)
	defer cancel()
	select {
	case <-provisional:
		_, _ = c.phone.client.Do(ctx, newCancel(c.client.InviteRequest), func(*sipgo.Client, *sip.Request) error { return nil })
	case <-final:
		return
	case <-ctx.Done():
	}
	select {
	case <-final: // 487, or the answer was faster
	case <-ctx.Done():
		giveUp(sipgo.WaitAnswerForceCancelErr)
	}
}

// newCancel builds the CANCEL of an INVITE (RFC 3261 §9.1): the same Via, From, To, Call-ID and sequence number.
func newCancel(invite *sip.Request) *sip.Request {
	req := sip.NewRequest(sip.CANCEL, invite.Recipient)
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	req.AppendHeader(sip.HeaderClone(invite.From()))
	req.AppendHeader(sip.HeaderClone(invite.To()))
	req.AppendHeader(sip.HeaderClone(invite.CallID()))
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.SetBody(nil)
	req.SetTransport(invite.Transport())
	req.Laddr = invite.Laddr
	return req
}

// note writes a response into the outcome. Early media is heard from here on.
func (c *PhoneCall) note(res *sip.Response) {
	now := time.Now()
	c.show(res)
	c.update(func(o *Outcome) {
		first := func(t *time.Time) {
			if t.IsZero() {
				*t = now
			}
		}
		switch {
		case res.StatusCode == sip.StatusTrying:
			first(&o.Trying)
		case res.StatusCode == sip.StatusRinging:
			first(&o.Ringing)
		case res.StatusCode == sip.StatusSessionInProgress:
			first(&o.Progress)
		case !res.IsProvisional():
			o.Status, o.StatusText = res.StatusCode, res.Reason
			o.FarEnd = !res.IsSuccess() && res.StatusCode != sip.StatusRequestTerminated
			o.Reason = reasonOf(res.GetHeaders("Reason"))
			if h := res.GetHeader("Retry-After"); h != nil {
				o.RetryAfter = h.Value()
			}
		}
	})
}

// talk confirms the answer and waits for the end of the call.
func (c *PhoneCall) talk(ctx context.Context) error {
	if err := c.client.Ack(c.phone.ctx); err != nil {
		return fmt.Errorf("confirm the answer: %w", err)
	}
	remote, err := parseSession(c.client.InviteResponse.Body())
	if err == nil {
		err = c.begin(remote)
	}
	if err == nil {
		close(c.answered)
		c.waitHangup(ctx, c.client.Context().Done())
	}
	if c.client.LoadState() == sip.DialogStateEnded {
		return err
	}
	bye, cancel := context.WithTimeout(context.Background(), byeDeadline)
	defer cancel()
	return errors.Join(err, c.client.Bye(bye))
}
