package cloud

import (
	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// hold keeps back the answer to one query. Guarded by Server.mu.
type hold struct {
	method string
	call   *mtserver.Call // nil until the query has come
	result bin.Encoder
	err    error
	open   bool // released: answers leave at once
}

// HoldAnswer keeps back the answer to a user's next call of a method (TL name, as "phone.requestCall"), until release. The
// query is carried out, and what it does to others happens at once.
func (c *Control) HoldAnswer(user int64, method string) (release func()) {
	h := &hold{method: method}
	c.with(user, func(a *account) { a.fate.holds = append(a.fate.holds, h) })
	return func() {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		if !h.open && h.call != nil {
			h.call.Reply(h.result, h.err)
		}
		h.open = true
	}
}

// LoseSignaling takes what a user sends with phone.sendSignalingData and loses it, or no longer loses it.
func (c *Control) LoseSignaling(user int64, on bool) {
	c.with(user, func(a *account) { a.fate.deaf = on })
}

// AskFeedback makes calls that end from now on ask both sides for a rating (need_rating) or for figures (need_debug).
func (c *Control) AskFeedback(rating, debug bool) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.feedback = feedback{rating: rating, debug: debug}
}

// SetClientConfig changes what help.getConfig says and tells every client (updateConfig). Fields are served as they are.
func (c *Control) SetClientConfig(config ClientConfig) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.config = config
	for _, a := range c.s.accounts {
		c.s.push(a, news{updates: []tg.UpdateClass{&tg.UpdateConfig{}}})
	}
}

// reply answers a query, unless Control holds the answer back.
func (s *Server) reply(call *mtserver.Call, result bin.Encoder, err error) {
	if h := s.heldBack(call); h != nil {
		call.Postpone()
		h.call, h.result, h.err = call, result, err
		return
	}
	call.Reply(result, err)
}

// heldBack is the hold that waits for this query; nil for none.
func (s *Server) heldBack(call *mtserver.Call) *hold {
	d := s.keys.device(call.Session.Key())
	if d == nil || d.user == nil || len(d.user.fate.holds) == 0 {
		return nil
	}
	id, err := (&bin.Buffer{Buf: call.Body}).PeekID()
	if err != nil {
		return nil
	}
	for _, h := range d.user.fate.holds {
		if h.call == nil && !h.open && s.table[id].name == h.method {
			return h
		}
	}
	return nil
}
