package telegram

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// keys are the digits of a leg: those that its person types in the chat, and those that are shown there.
type keys struct {
	up    atomic.Bool   // audio flows
	typed chan struct{} // digits were typed

	mu      sync.Mutex
	pressed []byte // typed and not passed on
	shown   []byte // of the other side
	waits   bool   // to be shown

	message int       // that shows them; 0 before. The desk's
	last    time.Time // when it was written. The desk's
}

// press takes what the person has typed in the chat; it does not block. What comes too late, or is too much, is dropped.
func (l *leg) press(digits string, typed time.Time) {
	if s := l.account.live.Load(); s == nil || s.config.now().Sub(typed) > digitsFresh {
		l.log.Debug("dropped digits that came too late")
		return
	}
	l.keys.mu.Lock()
	if len(l.keys.pressed)+len(digits) <= keyRoom {
		l.keys.pressed = append(l.keys.pressed, digits...)
	}
	l.keys.mu.Unlock()
	select {
	case l.keys.typed <- struct{}{}:
	default: // the leg's goroutine will look anyway
	}
}

// passKeys passes the typed digits on. The leg's goroutine is the only one that fills its events, which keep room for those
// that must come.
func (l *leg) passKeys() {
	l.keys.mu.Lock()
	digits := l.keys.pressed
	l.keys.pressed = nil
	l.keys.mu.Unlock()
	for _, digit := range digits {
		if cap(l.events)-len(l.events) <= legRoom {
			l.log.Debug("dropped digits that nobody takes")
			return
		}
		l.events <- bridge.Digit{Digit: digit}
	}
}

// SendDigit implements bridge.ToneSender: digits of the other side are shown in the chat, in one message that grows.
func (l *leg) SendDigit(digit byte) {
	d := l.account.desk
	if d.rules == nil || !d.rules.Digits().ToUser {
		return
	}
	l.keys.mu.Lock()
	defer l.keys.mu.Unlock()
	if len(l.keys.shown) >= mostShown {
		return
	}
	l.keys.shown = append(l.keys.shown, digit)
	if !l.keys.waits {
		l.keys.waits = true
		d.showIn(showFirst, l)
	}
}

// showIn shows a leg's digits after a while, in which more may come.
func (d *desk) showIn(wait time.Duration, l *leg) {
	time.AfterFunc(wait, func() {
		if !d.post(func(ctx context.Context, t *turn) { d.show(ctx, t, l) }) {
			l.keys.mu.Lock()
			l.keys.waits = false
			l.keys.mu.Unlock()
		}
	})
}

// show writes the digits that there are, or edits them into the message of the call.
func (d *desk) show(ctx context.Context, t *turn, l *leg) {
	if wait := showNext - time.Since(l.keys.last); wait > 0 {
		d.showIn(wait, l)
		return
	}
	l.keys.mu.Lock()
	digits := string(l.keys.shown)
	l.keys.waits = false
	l.keys.mu.Unlock()
	l.keys.last = time.Now()
	person, begin := d.person(t.session, l.with), l.keys.message == 0
	for _, action := range d.decide(ctx, t, l.with, func(s chat.State, now time.Time) []chat.Action {
		if begin {
			return d.rules.Show(person, digits, s, now)
		}
		return []chat.Action{chat.Say{Text: d.rules.ShowMore(person, digits, s)}}
	}) {
		say, ok := action.(chat.Say)
		switch {
		case !ok:
		case begin:
			l.keys.message = d.say(ctx, t, l.with, say.Text)
		default:
			if err := t.edit(ctx, l.with, l.keys.message, say.Text); err != nil && ctx.Err() == nil {
				l.log.Debug("digits could not be shown", "error", err)
			}
		}
	}
}
