package lab

import (
	"context"
	"fmt"

	"github.com/emiago/sipgo/sip"
)

// Hold puts the call on hold, or takes it back, with a re-INVITE.
func (c *PhoneCall) Hold(ctx context.Context, on bool) error {
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

// Transfer asks the other side to call number instead (REFER, RFC 3515). It returns when that has been accepted;
// whether the transfer worked shows in what happens to the call.
func (c *PhoneCall) Transfer(ctx context.Context, number string) error {
	target := c.target()
	target.User = userPart(number)
	req := sip.NewRequest(sip.REFER, c.target())
	req.AppendHeader(sip.NewHeader("Refer-To", "<"+target.String()+">"))
	res, err := c.do(ctx, req)
	if err != nil {
		return fmt.Errorf("transfer: %w", err)
	}
	if !res.IsSuccess() {
		return fmt.Errorf("transfer: refused: %d %s", res.StatusCode, res.Reason)
	}
	return nil
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
	select {
	case <-c.answered:
	default:
		return nil, errNotAnswered
	}
	if c.client != nil {
		return c.client.Do(ctx, req)
	}
	return c.server.Do(ctx, req)
}

// reinvited answers a re-INVITE of the other side: it may move its audio, or hold.
func (c *PhoneCall) reinvited(req *sip.Request, tx sip.ServerTransaction) {
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
		c.audio.connect(remote.addr, payload, remote.event)
		local.payloads, local.event, local.direction = []uint8{payload}, remote.event, remote.direction.mirror()
		c.mu.Lock()
		c.local, c.holding = local, remote.direction
		c.mu.Unlock()
	}
	res := sip.NewSDPResponseFromRequest(req, local.build())
	res.AppendHeader(&c.phone.dialogs.ContactHDR)
	_ = tx.Respond(res) // a lost answer is asked for again
}
