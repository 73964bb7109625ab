package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

const (
	deskRoom     = 256                 // messages and notices that wait
	deskIn       = 15 * time.Second    // for one of them, a flood wait included
	rememberFor  = 90 * 24 * time.Hour // a person who has not been heard of
	digitsFresh  = 30 * time.Second    // digits that come later are not played
	serviceUser  = 777000              // Telegram's own notifications, login codes among them
	showFirst    = 300 * time.Millisecond
	showNext     = time.Second // between two edits of a message
	mostShown    = 200         // digits of a call
	varChat      = "TGTRUNK_CHAT"
	bookOfTotals = "all"
)

// desk reads what people write to the account, and tells them of calls, as package chat decides. What it is to do waits
// in a queue; its goroutine owns what is remembered of people. Digits that people type in calls do not wait.
type desk struct {
	account *Account
	rules   *chat.Desk // nil: nothing is read and nothing is said
	jobs    chan job
	replied chan struct{} // holds a token when there is a reply to say
	talks
}

// job is something that the desk has to do while there is a session.
type job struct {
	do   func(ctx context.Context, t *turn)
	keep bool // only notes something, and is done at the session's end, too
	ring *leg // a call that rings: nothing of it is said once it is over; nil for all else
}

// run does the job in its time. A note that has been begun is written although the session ends.
func (j job) run(ctx context.Context, t *turn) {
	limit := deskIn
	if j.keep {
		ctx, limit = context.WithoutCancel(ctx), flushIn
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	j.do(ctx, t)
}

// turn is a session as the desk's goroutine works with it.
type turn struct {
	*session
	offer func(*leg, Peer, chat.Call)
}

func newDesk(a *Account, rules *chat.Desk) *desk {
	return &desk{account: a, rules: rules, jobs: make(chan job, deskRoom), replied: make(chan struct{}, 1), talks: talks{legs: map[int64][]*leg{}}}
}

// run works the queue off until ctx ends.
func (d *desk) run(ctx context.Context, t *turn) {
	if d.rules == nil {
		return
	}
	var look <-chan time.Time
	if d.rules.Forwards() {
		ticks := time.NewTicker(replyLook)
		defer ticks.Stop()
		look = ticks.C
	}
	for {
		select {
		case <-ctx.Done():
			d.close(context.WithoutCancel(ctx), t)
			return
		case j := <-d.jobs:
			d.work(ctx, t, j)
		case <-d.replied:
			job{do: d.sayReplies}.run(ctx, t)
		case <-look:
			job{do: d.sayReplies}.run(ctx, t)
		}
	}
}

// work does a job, unless it is about a call that has rung until it was over.
func (d *desk) work(ctx context.Context, t *turn, j job) {
	if j.ring != nil && !d.joined(j.ring) {
		j.ring.log.Debug("dropped a notice of a call that is over")
		return
	}
	j.run(ctx, t)
}

// close notes what is left to be noted. Calls end with the session; the rest waits for the next one.
func (d *desk) close(ctx context.Context, t *turn) {
	ctx, cancel := context.WithTimeout(ctx, flushIn)
	defer cancel()
	for range len(d.jobs) {
		switch j := <-d.jobs; {
		case j.keep:
			j.do(ctx, t)
		case j.ring == nil:
			d.queue(j)
		}
	}
}

// post queues what is to be done while there is a session. It does not block: what finds no room is dropped.
func (d *desk) post(do func(context.Context, *turn)) bool { return d.queue(job{do: do}) }

func (d *desk) queue(j job) bool {
	select {
	case d.jobs <- j:
		return true
	default:
		d.account.log.Warn("dropped a message or a notice: too many wait", "waiting", deskRoom)
		return false
	}
}

// heard takes the messages among updates.
func (d *desk) heard(all []tg.UpdateClass) {
	if d.rules == nil {
		return
	}
	for _, one := range all {
		if news, ok := one.(*tg.UpdateNewMessage); ok {
			if m, ok := news.Message.(*tg.Message); ok {
				d.take(m)
			}
		}
	}
}

// take takes a message: digits for a call that is up go there at once, everything else waits its turn.
func (d *desk) take(m *tg.Message) {
	from, private := m.PeerID.(*tg.PeerUser)
	if m.Out || !private {
		return
	}
	message := messageOf(m, from.UserID)
	if digits, ok := chat.DTMF(message.Text); ok && d.rules.Digits().ToPBX && !message.Automatic {
		if l := d.talking(from.UserID); l != nil {
			l.press(digits, message.Date)
			return
		}
	}
	d.post(func(ctx context.Context, t *turn) {
		p, ok := t.peers.get(from.UserID)
		if !ok || !p.Person || p.ID == serviceUser || p.ID == t.self.ID {
			return
		}
		d.settle(ctx, t, p, func(s chat.State, now time.Time) []chat.Action {
			return d.rules.Read(d.person(t.session, p), message, s, now)
		})
	})
}

// messageOf is a private message as package chat sees it.
func messageOf(m *tg.Message, from int64) chat.Message {
	card, _ := m.Media.(*tg.MessageMediaContact)
	return chat.Message{
		ID: m.ID, Date: time.Unix(int64(m.Date), 0), Text: m.Message, Out: m.Out,
		// Offline is a business account's greeting or away message; ViaBusinessBotID a bot that answers for one.
		Automatic: m.ViaBotID != 0 || m.ViaBusinessBotID != 0 || m.Offline || m.FromScheduled,
		OwnCard:   card != nil && card.UserID == from,
	}
}

func (d *desk) person(s *session, p Peer) chat.Person {
	return chat.Person{
		ID: p.ID, Language: p.Language, Stranger: p.callee().Stranger,
		Machine: !p.Person || p.ID == serviceUser || p.ID == s.self.ID,
	}
}

// settle lets package chat decide about a person, keeps what it has changed, and carries the rest out.
func (d *desk) settle(ctx context.Context, t *turn, p Peer, decide func(chat.State, time.Time) []chat.Action) {
	for _, action := range d.decide(ctx, t, p, decide) {
		switch action := action.(type) {
		case chat.Say:
			d.say(ctx, t, p, action.Text)
		case chat.Call:
			d.call(t, p, action)
		case chat.Told:
			d.account.handOn(p, action)
		}
	}
}

// decide returns what is to be done. Nothing is where it could not be counted: an account that forgets its limits says
// too much.
func (d *desk) decide(ctx context.Context, t *turn, p Peer, decide func(chat.State, time.Time) []chat.Action) []chat.Action {
	keep := shelf{d.account.keep, fmt.Sprintf("%d/chat/", t.self.ID)}
	book, totals := keep.of(strconv.FormatInt(p.ID, 10)), keep.of(bookOfTotals)
	ofPerson, err := readSlip[chat.Book](ctx, book, d.account.log)
	ofAll, failed := readSlip[chat.Totals](ctx, totals, d.account.log)
	if err = errors.Join(err, failed); err == nil {
		s := chat.State{Book: ofPerson, Totals: ofAll}
		actions := decide(s, t.config.now())
		if err = errors.Join(book.write(ctx, s.Book), totals.write(ctx, s.Totals)); err == nil {
			return actions
		}
	}
	if ctx.Err() == nil {
		d.account.log.Warn("a message stays unanswered, its answer could not be counted", "error", err)
	}
	return nil
}

// shelf is where the books of an account stand.
type shelf struct {
	keep   keep
	prefix string
}

func (s shelf) of(name string) *slip { return &slip{keep: s.keep, key: s.keep.key(s.prefix + name)} }

// slip is one value of it.
type slip struct {
	keep keep
	key  string
	was  string
}

// readSlip returns what a slip says; a zero value where there is none, and where it cannot be read.
func readSlip[T any](ctx context.Context, s *slip, log *slog.Logger) (*T, error) {
	e, err := s.keep.store.Get(ctx, s.key)
	if errors.Is(err, store.ErrNotFound) {
		return new(T), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the book of a chat: %w", err)
	}
	s.was = string(e.Value)
	v := new(T)
	if err := json.Unmarshal(e.Value, v); err != nil {
		log.Error("book of a chat cannot be read, beginning a new one", "key", maskKeys(e.Key), "error", err)
		return new(T), nil
	}
	return v, nil
}

func (s *slip) write(ctx context.Context, v any) error {
	raw, err := json.Marshal(v)
	if err == nil && string(raw) != s.was {
		err = s.keep.put(ctx, s.key, raw, rememberFor)
	}
	if err != nil {
		return fmt.Errorf("keep the book of a chat: %w", err)
	}
	return nil
}

// say writes to a person and returns the message's id; 0 where that did not work.
func (d *desk) say(ctx context.Context, t *turn, p Peer, text string) int {
	id, err := t.send(ctx, p, text)
	if err != nil && ctx.Err() == nil {
		d.account.log.Warn("message could not be sent", "user", masked(p.ID), "error", err)
	}
	return id
}

// call calls a person who has asked for it, unless there is a call with that person already.
func (d *desk) call(t *turn, p Peer, c chat.Call) {
	log := d.account.log.With("user", masked(p.ID), "why", string(c.Why))
	if d.busy(p.ID) {
		log.Info("call asked for by message left out: there is one already")
		return
	}
	log.Info("call asked for by message", "extension", bridge.Mask(c.Place.Extension))
	t.offer(d.account.newLeg(), p, c)
}

// talks are the calls with people, by user id, from the moment they are placed or come in.
type talks struct {
	mu   sync.Mutex
	legs map[int64][]*leg
}

func (t *talks) join(l *leg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.legs[l.with.ID] = append(t.legs[l.with.ID], l)
}

func (t *talks) leave(l *leg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := t.legs[l.with.ID][:0]
	for _, other := range t.legs[l.with.ID] {
		if other != l {
			rest = append(rest, other)
		}
	}
	if t.legs[l.with.ID] = rest; len(rest) == 0 {
		delete(t.legs, l.with.ID)
	}
}

func (t *talks) joined(l *leg) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.legs[l.with.ID], l)
}

func (t *talks) busy(id int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.legs[id]) > 0
}

// talking is the newest call with a person that has audio; nil for none.
func (t *talks) talking(id int64) *leg {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.legs[id]) - 1; i >= 0; i-- {
		if l := t.legs[id][i]; l.keys.up.Load() {
			return l
		}
	}
	return nil
}
