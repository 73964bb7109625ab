package esl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// tenure is the right to serve an application on one FreeSWITCH, which one process has at a time: two would take each
// other's callers and hang each other's channels up. It is a global variable of FreeSWITCH that its holder changes every
// few seconds, by a command that changes nothing unless the variable still holds what it held
// (global_setvar NAME=NEW=OLD). Who waits for it takes it when it is free, when it has not changed for timing.lease, or when
// its holder's witness has gone (vigil).
type tenure struct {
	variable string // its name
	instance string // how the ids of this process begin
	prefix   string // how the values begin that this link writes: its instance, host and process
	login    string // of mod_verto, that may be named in a value; "" for none

	mu    sync.Mutex // held over the commands, so that a renewal does not undo giveBack
	beats uint64     // guarded by mu
	given bool       // guarded by mu; it was given back for good
	last  string     // guarded by mu; the value that was found written; "" where that was not heard
	since time.Time  // guarded by mu; when the last renewal that came about was begun
	named bool       // guarded by mu; the last value written names the WebSocket
}

// freeTenure is the value that a holder leaves behind.
const freeTenure = "free"

func newTenure(app, instance, login string) *tenure {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	host = strings.Map(func(r rune) rune {
		if isNameChar(r) {
			return r
		}
		return '_'
	}, host)
	if !isLogin(login) {
		login = ""
	}
	return &tenure{variable: "tgtrunk_owner_" + app, instance: instance, login: login,
		prefix: fmt.Sprintf("%s/%s/%d/", instance, host, os.Getpid())}
}

// isNameChar reports whether a character has no meaning to global_setvar.
func isNameChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '.'
}

func (t *tenure) read(ctx context.Context, v verbs) (string, error) {
	value, err := v.api(ctx, "global_getvar", t.variable)
	return strings.TrimSpace(value), err
}

// write puts a value of ours in the place of old, or of whatever there is where old is empty, and returns what is there
// then: global_setvar does not say whether it did anything.
func (t *tenure) write(ctx context.Context, v verbs, old string) (string, error) {
	t.beats++
	value := fmt.Sprint(t.prefix, t.beats)
	t.named = t.login != "" && witnessOf(ctx, v, t.login, t.instance) == present
	if t.named {
		value += "/" + t.login
	}
	words := t.variable + "=" + value
	if old != "" {
		words += "=" + old
	}
	t.last = ""
	if err := v.do(ctx, "global_setvar", words); err != nil {
		return "", err
	}
	there, err := t.read(ctx, v)
	if there == value {
		t.last = value
	}
	return there, err
}

func (t *tenure) isOurs(value string) bool { return strings.HasPrefix(value, t.prefix) }

// renew says that we live. The error is ErrReplaced where another process has the application.
func (t *tenure) renew(ctx context.Context, v verbs) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.given {
		return nil
	}
	began := time.Now()
	value, err := t.last, error(nil)
	if value == "" { // whether the one before has got through was not heard
		value, err = t.read(ctx, v)
	}
	if err == nil && (value == "" || t.isOurs(value)) {
		value, err = t.write(ctx, v, value)
	}
	switch {
	case err != nil:
		return err
	case value != "" && !t.isOurs(value):
		return fmt.Errorf("%w: %s", ErrReplaced, holder(value))
	case t.last != "":
		t.since = began
	}
	return nil
}

// renewed returns when, at the latest, the last value was written, and whether that names our WebSocket.
func (t *tenure) renewed() (since time.Time, named bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since, t.named
}

// giveBack lets the next have the application at once.
func (t *tenure) giveBack(ctx context.Context, v verbs) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.given = true
	value, err := t.read(ctx, v)
	if err != nil || !t.isOurs(value) {
		return err
	}
	return v.do(ctx, "global_setvar", t.variable+"="+freeTenure+"="+value)
}

func (l *Link) giveBack(ctx context.Context) {
	v := l.verbs()
	if v.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.RequestTimeout)
	defer cancel()
	if err := l.tenure.giveBack(ctx, v); err != nil {
		l.opt.Log.Warn("cannot give the application back, the next process waits a few seconds", "app", l.opt.App, "error", err)
	}
}

// holder says in words who wrote a value.
func holder(value string) string {
	parts := strings.Split(value, "/")
	if len(parts) < 4 {
		return value
	}
	return "process " + parts[2] + " on " + parts[1]
}

// instanceOf returns how the ids of the holder's channels begin; "" for a value that no link wrote.
func instanceOf(value, mark string) string {
	instance, _, ok := strings.Cut(value, "/")
	if !ok || !strings.HasPrefix(instance, mark) {
		return ""
	}
	return instance
}

// hold returns when this link has the application, and waits while another process has it.
func (l *Link) hold(ctx context.Context, v verbs) error {
	var seen vigil
	var said string
	for {
		value, err := l.tenure.read(ctx, v)
		if err != nil {
			return err
		}
		if seen.look(value); !l.tenure.isOurs(value) {
			seen.ask(ctx, v)
		}
		stale := value != "" && seen.over(l.timing)
		if value == "" || value == freeTenure || stale || l.tenure.isOurs(value) {
			got, err := l.claim(ctx, v, value)
			if err != nil {
				return err
			}
			switch {
			case !got:
				continue
			case stale:
				l.succeed(value)
			}
			if said != "" {
				l.forget()
			}
			return nil
		}
		if who := holder(value); who != said {
			said = who
			l.standBy(who)
		}
		if !pbx.Sleep(ctx, l.timing.standby) {
			return ctx.Err()
		}
	}
}

// claim tries to take the application from whoever wrote old. Where the variable was not there global_setvar has nothing to
// compare with: of two links that find none both write, the later stays, and each looks again after a moment.
func (l *Link) claim(ctx context.Context, v verbs, old string) (bool, error) {
	t := l.tenure
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Now()
	value, err := t.write(ctx, v, old)
	if err != nil || old != "" {
		return t.isOurs(value), err
	}
	if !pbx.Sleep(ctx, l.timing.claim) {
		return false, ctx.Err()
	}
	value, err = t.read(ctx, v)
	return t.isOurs(value), err
}

func (l *Link) standBy(who string) {
	l.mu.Lock()
	l.down = fmt.Errorf("%w: %w: %s", ErrNotConnected, ErrReplaced, who)
	l.mu.Unlock()
	l.opt.Log.Warn("application is served by another process, standing by: run one process for each app of one freeswitch, "+
		"or give each its own app; this one takes over when the other has gone", "app", l.opt.App, "by", who)
}

// succeed notes whose place we take who has not given it back. It may live and only be cut off from the event socket:
// then it ends its calls by itself within timing.lostAfter, and until then they are left alone.
func (l *Link) succeed(value string) {
	l.opt.Log.Warn("process that served the application gives no sign of life, taking over", "app", l.opt.App, "from", holder(value))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.predecessor, l.spared = instanceOf(value, l.ids.mark), time.Now().Add(l.timing.lostAfter)
}

// forget drops the list of channels to be hung up: meanwhile they were another process's to look after.
func (l *Link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.condemned)
}

// isSpared reports whether a channel may be one of a process that lives.
func (l *Link) isSpared(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.predecessor != "" && strings.HasPrefix(id, l.predecessor) && time.Now().Before(l.spared)
}

// fence is how long after its last sign of life a holder stops, before others may think that it has.
func (t timing) fence() time.Duration { return t.lease * 7 / 8 }

// keep renews the right to serve the application until ctx ends or it is lost. It gives the connection up early enough
// that whoever takes the application, because of signs of life that do not get through, finds nobody there.
func (l *Link) keep(ctx context.Context, v verbs) error {
	beat := time.NewTimer(l.timing.beat)
	defer beat.Stop()
	for {
		since, named := l.tenure.renewed()
		limit := since.Add(l.timing.fence())
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		case <-l.unwitnessed:
			if short := time.Now().Add(l.timing.bereft * 3 / 4); named && short.Before(limit) {
				limit = short // others see it as well, and without a word of ours take it for our end
			}
		}
		err := l.renew(ctx, v, limit)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("freeswitch lets no sign of life through in time: %w", err)
		default:
			return err
		}
		beat.Reset(l.timing.beat)
	}
}

func (l *Link) renew(ctx context.Context, v verbs, limit time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	return l.tenure.renew(ctx, v)
}
