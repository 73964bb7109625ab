package lab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/emiago/sipgo/sip"
)

// Hold puts the call on hold, or takes it back, with a re-INVITE.
func (c *PhoneCall) Hold(ctx context.Context, on bool) error {
	if err := c.up(); err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	c.mu.Lock()
	c.local.direction = sendRecv
	if on {
		c.local.direction = sendOnly
	}
	body := c.local.build()
	c.mu.Unlock()
	req := sip.NewRequest(sip.INVITE, c.target())
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	req.SetBody(body)
	res, err := c.do(ctx, req)
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	if !res.IsSuccess() {
		return fmt.Errorf("hold: refused: %d %s", res.StatusCode, res.Reason)
	}
	ack := sip.NewRequest(sip.ACK, c.target())
	if c.client != nil {
		err = c.client.WriteRequest(ack)
	} else {
		err = c.server.WriteRequest(ack)
	}
	if err != nil {
		return fmt.Errorf("hold: confirm: %w", err)
	}
	return nil
}

// Transfer asks the other side to call number instead (REFER, RFC 3515), waits for the outcome and hangs up when it
// worked, as a telephone does.
func (c *PhoneCall) Transfer(ctx context.Context, number string) error {
	if err := c.up(); err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	target := c.target()
	target.User = userPart(number)
	return c.refer(ctx, "<"+target.String()+">")
}

// TransferTo connects the other sides of this call and of a second one, which its phone has with somebody else
// (attended transfer: REFER with Replaces, RFC 3891), waits for the outcome and hangs both up when it worked.
func (c *PhoneCall) TransferTo(ctx context.Context, other *PhoneCall) error {
	if err := errors.Join(c.up(), other.up()); err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	remote, local, err := other.tags()
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	replaces := url.QueryEscape(other.id + ";to-tag=" + remote + ";from-tag=" + local)
	target := other.target()
	if err := c.refer(ctx, "<"+target.String()+"?Replaces="+replaces+">"); err != nil {
		return err
	}
	other.Hangup()
	return nil
}

// tags are those that tell the two ends of the dialog apart.
func (c *PhoneCall) tags() (remote, local string, err error) {
	client, server := c.dialog()
	var request *sip.Request
	var response *sip.Response
	switch {
	case client != nil:
		request, response = client.InviteRequest, client.InviteResponse
	case server != nil:
		request, response = server.InviteRequest, server.InviteResponse
	}
	if request == nil || response == nil {
		return "", "", errNotAnswered
	}
	caller, _ := request.From().Params.Get("tag")
	called, _ := response.To().Params.Get("tag")
	if client != nil {
		return called, caller, nil
	}
	return caller, called, nil
}

// refer sends a REFER and waits for what becomes of it.
func (c *PhoneCall) refer(ctx context.Context, to string) error {
	req := sip.NewRequest(sip.REFER, c.target())
	req.AppendHeader(sip.NewHeader("Refer-To", to))
	res, err := c.do(ctx, req)
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	if !res.IsSuccess() {
		return fmt.Errorf("transfer: refused: %d %s", res.StatusCode, res.Reason)
	}
	select {
	case status := <-c.transfer:
		if status != sip.StatusOK {
			return fmt.Errorf("transfer: the target said %d", status)
		}
		c.Hangup()
		return nil
	case <-c.over:
		return nil // the other side was faster
	case <-ctx.Done():
		return fmt.Errorf("transfer: wait for the outcome: %w", ctx.Err())
	}
}

// notified reads the status line that a NOTIFY about a transfer carries (RFC 3515 §2.4.5).
func (c *PhoneCall) notified(req *sip.Request) {
	var status int
	if _, err := fmt.Sscanf(string(req.Body()), "SIP/2.0 %d", &status); err != nil || status < sip.StatusOK {
		return
	}
	select {
	case c.transfer <- status:
	default:
	}
}

// up is nil once the call has been answered. Before that the SIP layer still writes what requests within it are made of.
func (c *PhoneCall) up() error {
	select {
	case <-c.answered:
		return nil
	default:
		return errNotAnswered
	}
}

// target is where requests within the call go: the other side's contact.
func (c *PhoneCall) target() sip.Uri {
	contact := c.contact()
	if contact == nil {
		return sip.Uri{}
	}
	return *contact.Address.Clone()
}

func (c *PhoneCall) contact() *sip.ContactHeader {
	if c.client != nil {
		return c.client.InviteResponse.Contact()
	}
	return c.invite.Contact()
}

// do sends a request within an answered call.
func (c *PhoneCall) do(ctx context.Context, req *sip.Request) (*sip.Response, error) {
	if err := c.up(); err != nil {
		return nil, err
	}
	if c.client != nil {
		return c.client.Do(ctx, req)
	}
	return c.server.Do(ctx, req)
}

// reinvited answers a re-INVITE of the other side: it may move its audio, or hold.
func (c *PhoneCall) reinvited(req *sip.Request, tx sip.ServerTransaction) {
	c.show(req)
	c.mu.Lock()
	local := c.local
	c.mu.Unlock()
	if len(req.Body()) > 0 {
		remote, err := parseSession(req.Body())
		payload, ok := c.agree(remote)
		if err != nil || !ok {
			respond(req, tx, sip.StatusNotAcceptableHere, "Not Acceptable Here")
			return
		}
		if err := c.audio.connect(remote.addr, payload, remote.event, remote.opus); err != nil {
			respond(req, tx, sip.StatusNotAcceptableHere, "Not Acceptable Here")
			return
		}
		local.payloads, local.event, local.direction = []uint8{payload}, remote.event, remote.direction.mirror()
		local.opus = remote.opus
		c.mu.Lock()
		c.local, c.holding = local, remote.direction
		c.mu.Unlock()
	}
	res := sip.NewSDPResponseFromRequest(req, local.build())
	res.AppendHeader(&c.phone.dialogs.ContactHDR)
	_ = tx.Respond(res) // a lost answer is asked for again
}

// Display is the name and number of somebody, as a phone shows them.
type Display struct{ Name, Number string }

// Shown returns whom the other side has said to be since the INVITE, the newest last: P-Asserted-Identity (RFC 3325) of
// its answer, of an UPDATE or of a re-INVITE.
func (c *PhoneCall) Shown() []Display {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.shown)
}

// show notes the identity that a message asserts, if it does.
func (c *PhoneCall) show(m interface{ GetHeader(name string) sip.Header }) {
	h := m.GetHeader("P-Asserted-Identity")
	if h == nil {
		return
	}
	var uri sip.Uri
	name, err := sip.ParseAddressValue(h.Value(), &uri, nil)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = append(c.shown, Display{Name: name, Number: uri.User})
}
