package telegram_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gotdsession "github.com/gotd/td/session"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/auth/qrlogin"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/telegram"
)

// person logs an account in: it answers with what the test has prepared.
type person struct {
	phone     string
	codes     []string
	passwords []string
	onQR      func(link string)
	onCode    func()

	mu      sync.Mutex
	asked   []string
	notices []string
}

var errNoAnswer = errors.New("the person has no answer")

func (p *person) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *person) Phone(_ context.Context, configured string) (string, error) {
	p.note("phone " + configured)
	return p.phone, nil
}

func (p *person) Code(_ context.Context, sent telegram.SentCode) (string, error) {
	p.note("code by " + sent.Where)
	if len(p.codes) == 0 {
		return "", errNoAnswer
	}
	if p.onCode != nil {
		p.onCode()
	}
	code := p.codes[0]
	p.codes = p.codes[1:]
	return code, nil
}

func (p *person) Password(_ context.Context, hint string) (string, error) {
	p.note("password")
	if len(p.passwords) == 0 {
		return "", errNoAnswer
	}
	password := p.passwords[0]
	p.passwords = p.passwords[1:]
	return password, nil
}

func (p *person) ShowQR(_ context.Context, link string, expires time.Time) error {
	p.note("qr")
	if until := time.Until(expires); until <= 0 || until > 10*time.Minute {
		return errors.New("the link expires at a strange time")
	}
	if p.onQR != nil {
		p.onQR(link)
	}
	return nil
}

func (p *person) Notice(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, text)
}

func (p *person) said(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.notices, func(n string) bool { return strings.Contains(n, text) })
}

func tryLogin(t *testing.T, a *telegram.Account, p *person) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*soon) // a password takes seconds of computing
	defer cancel()
	err := a.Login(ctx, p)
	if ctx.Err() != nil {
		t.Fatal("login takes too long")
	}
	return err
}

func TestLoginByCode(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	a := newAccount(t, o)
	p := &person{phone: o.Phone, codes: []string{"99999", " 10000\n"}}
	if err := tryLogin(t, a, p); err != nil {
		t.Fatal(err)
	}
	if !p.said("the code is wrong") || !p.said("logged in as Office (@office), user id 5000") {
		t.Errorf("notices %q", p.notices)
	}
	if p.asked[0] != "phone "+o.Phone || p.asked[1] != "code by app" {
		t.Errorf("asked %q", p.asked)
	}
	// It stays logged in, also with the next start.
	p = &person{}
	if err := tryLogin(t, newAccount(t, o), p); err != nil || !p.said("already logged in") || len(p.asked) != 0 {
		t.Errorf("second login: %v, notices %q, asked %q", err, p.notices, p.asked)
	}
	w.run(a)
}

func TestLoginWithPassword(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	p := &person{phone: w.user(carol).Phone, codes: []string{"10003"}, passwords: []string{"wrong horse", "correct horse"}}
	if err := tryLogin(t, newAccount(t, o), p); err != nil {
		t.Fatal(err)
	}
	if !p.said("the password is wrong") || !p.said("user id 5003") || !p.said("not the number of the configuration") {
		t.Errorf("notices %q", p.notices)
	}
}

func TestLoginFails(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		person *person
		want   error
		rpc    string
		before func()
	}{
		"wrong codes":      {person: &person{phone: "+99966150000", codes: []string{"1", "2", "3", "4"}}, want: telegram.ErrWrong},
		"no code":          {person: &person{phone: "+99966150000"}, want: errNoAnswer},
		"wrong passwords":  {person: &person{phone: "+99966150003", codes: []string{"10003"}, passwords: []string{"a", "b", "c", "d"}}, want: telegram.ErrWrong},
		"no password":      {person: &person{phone: "+99966150003", codes: []string{"10003"}}, want: errNoAnswer},
		"number not on it": {person: &person{phone: "+99966199999", codes: []string{"1"}}, want: telegram.ErrNoSignUp},
		"bad number":       {person: &person{phone: "hello"}, rpc: "PHONE_NUMBER_INVALID"},
		"flood":            {person: &person{phone: "+99966150000"}, rpc: "FLOOD_WAIT", before: func() { w.control.FloodNext(0, "auth.sendCode", 900) }},
		"codes expire, always": {want: telegram.ErrWrong, person: &person{phone: "+99966150000", codes: []string{"10000", "10000", "10000"},
			onCode: func() { w.control.ExpireCodes("+99966150000") }}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.before != nil {
				c.before()
			}
			inner := &world{t: t, server: w.server, control: w.control, net: w.net}
			o := inner.options()
			err := tryLogin(t, newAccount(t, o), c.person)
			if c.want != nil && !errors.Is(err, c.want) || c.rpc != "" && !tgerr.Is(err, c.rpc) || err == nil {
				t.Fatalf("got %v, want %v%s", err, c.want, c.rpc)
			}
			if !strings.Contains(err.Error(), `"office"`) {
				t.Errorf("error %q does not name the account", err)
			}
			// The account is not taken for logged in.
			a := inner.start(newAccount(t, o))
			a.waitHealth(func(err error) bool { return errors.Is(err, telegram.ErrLoggedOut) })
		})
	}
}

func TestLoginIsCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	p := &person{onQR: func(string) { cancel() }}
	if err := newAccount(t, w.options()).Login(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLoginByQR(t *testing.T) {
	w := newWorld(t)
	for _, id := range []int64{trunk, carol} {
		t.Run(w.user(id).FirstName, func(t *testing.T) {
			inner := &world{t: t, server: w.server, control: w.control, net: w.net}
			scan := inner.scanner(id)
			p := &person{passwords: []string{w.user(id).Password}}
			p.onQR = func(link string) {
				if err := scan(link); err != nil {
					t.Error(err)
				}
			}
			if err := tryLogin(t, newAccount(t, inner.options()), p); err != nil {
				t.Fatal(err)
			}
			if !p.said("logged in as " + w.user(id).FirstName) {
				t.Errorf("notices %q", p.notices)
			}
			if want := w.user(id).Password != ""; slices.Contains(p.asked, "password") != want {
				t.Errorf("asked %q", p.asked)
			}
		})
	}
}

// scanner is a device of the user that scans login links.
func (w *world) scanner(id int64) func(link string) error {
	w.t.Helper()
	u, addr := w.user(id), w.server.Addr()
	client := gotd.NewClient(17, appHash, gotd.Options{
		DC: w.server.DC(), DCList: dcs.List{Options: []tg.DCOption{{ID: w.server.DC(), IPAddress: addr.IP.String(), Port: addr.Port}}},
		PublicKeys: []gotd.PublicKey{{RSA: w.server.PublicKey()}}, SessionStorage: new(gotdsession.StorageMemory), NoUpdates: true,
	})
	ready := make(chan struct{})
	w.background("scanner", func(ctx context.Context) error {
		err := client.Run(ctx, func(ctx context.Context) error {
			code := auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) { return u.Code, nil })
			if err := client.Auth().IfNecessary(ctx, auth.NewFlow(auth.Constant(u.Phone, u.Password, code), auth.SendCodeOptions{})); err != nil {
				return err
			}
			close(ready)
			<-ctx.Done()
			return nil
		})
		return err
	})
	select {
	case <-ready:
	case <-time.After(3 * soon):
		w.t.Fatal("scanner does not log in")
	}
	return func(link string) error {
		parsed, err := url.Parse(link)
		if err != nil {
			return err
		}
		token, err := qrlogin.ParseTokenURL(parsed.String())
		if err != nil {
			return err
		}
		_, err = qrlogin.AcceptQR(context.Background(), client.API(), token)
		return err
	}
}
