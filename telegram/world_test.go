package telegram_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

func verify(m *testing.M) { goleak.VerifyTestMain(m) }

// The people of the tests. trunk is the account under test.
const (
	trunk int64 = 5000 + iota
	alice
	bob
	carol
	robot
)

const (
	appHash = "0123456789abcdef0123456789abcdef"
	soon    = time.Minute // for anything that must happen; the only limit of the kind here, with room for a loaded machine
)

func people() []cloud.User {
	return []cloud.User{
		{ID: trunk, Phone: "+99966150000", Username: "office", FirstName: "Office", Code: "10000"},
		{ID: alice, Phone: "+99966150001", Username: "alice_a", FirstName: "Alice", LastName: "Liddell", Code: "10001"},
		{ID: bob, Phone: "+99966150002", Username: "bob_b", FirstName: "Bob", Code: "10002"},
		{ID: carol, Phone: "+99966150003", Username: "carol_c", FirstName: "Carol", Code: "10003", Password: "correct horse"},
		{ID: robot, Username: "robot_bot", FirstName: "Robot", BotToken: "5004:token"},
	}
}

// key is made once: it takes a second.
var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func logger(t testing.TB) *slog.Logger {
	if os.Getenv("TELEGRAM_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// world is a simulated Telegram.
type world struct {
	t       testing.TB
	server  *cloud.Server
	control *cloud.Control
	net     *voip.Net
}

func newWorld(t testing.TB, edit ...func(*cloud.Options)) *world {
	t.Helper()
	k, err := key()
	if err != nil {
		t.Fatal(err)
	}
	o := cloud.Options{Key: k, Users: people(), Log: logger(t)}
	for _, e := range edit {
		e(&o)
	}
	server, err := cloud.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, server: server, control: server.Control()}
	w.background("cloud", server.Run)
	if w.net, err = voip.ListenNet(voip.NetOptions{Listen: "127.0.0.1:0", Loopback: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.net.Close)
	return w
}

// background runs something until the test ends, or until stop.
func (w *world) background(name string, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("%s: %v", name, err)
			}
		case <-time.After(soon):
			w.t.Errorf("%s does not end", name)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

func (w *world) user(id int64) cloud.User {
	for _, u := range people() {
		if u.ID == id {
			return u
		}
	}
	w.t.Fatalf("nobody is %d", id)
	return cloud.User{}
}

// phone turns on a phone of a user.
func (w *world) phone(id int64, b phone.Behaviour, edit ...func(*phone.Options)) *phone.Phone {
	w.t.Helper()
	o := phone.Options{
		Server: w.server.Addr().AddrPort(), Key: w.server.PublicKey(), DC: w.server.DC(), User: w.user(id), Net: w.net, Log: logger(w.t),
	}
	for _, e := range edit {
		e(&o)
	}
	p, err := phone.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	p.Behave(b)
	w.background("phone", p.Run)
	select {
	case <-p.Ready():
	case <-time.After(soon):
		w.t.Fatal("phone does not log in")
	}
	return p
}

// options of the account under test, with a store that the test ends with.
func (w *world) options() telegram.Options {
	w.t.Helper()
	return telegram.Options{
		Name: "office", APIID: 17, APIHash: appHash, Phone: w.user(trunk).Phone, Store: openStore(w.t, filepath.Join(w.t.TempDir(), "tgtrunk.db")),
		Server: telegram.Server{Addr: w.server.Addr().String(), PublicKey: w.server.PublicKey(), DC: w.server.DC()},
		Net:    w.net, Log: logger(w.t), Guard: &guard.Limits{Retry: 5 * time.Second, PerDay: -1},
	}
}

func openStore(t testing.TB, path string) *store.File {
	t.Helper()
	s, err := store.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newAccount(t testing.TB, o telegram.Options) *telegram.Account {
	t.Helper()
	a, err := telegram.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cabinet keeps what one login has left, here and in the simulated Telegram, for all tests after it: key exchanges
// take their time.
type cabinet struct {
	session []byte
	keys    []cloud.AuthKey
}

var loggedIn = sync.OnceValue(func() *cabinet { return new(cabinet) })

// loginOnce brings the account into the state after its first login, with a world that knows of it.
func loginOnce(t testing.TB, edit ...func(*cloud.Options)) (*world, telegram.Options) {
	t.Helper()
	c := loggedIn()
	keys := cloud.MemoryKeys()
	for _, k := range c.keys {
		if err := keys.Save(k); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, append(edit, func(o *cloud.Options) { o.AuthKeys = keys })...)
	o := w.options()
	ctx := t.Context()
	if c.session != nil {
		if _, err := o.Store.Put(ctx, "telegram/office/session", c.session, store.Put{}); err != nil {
			t.Fatal(err)
		}
		return w, o
	}
	w.login(newAccount(t, o))
	e, err := o.Store.Get(ctx, "telegram/office/session")
	if err != nil {
		t.Fatal(err)
	}
	all, err := keys.Load()
	if err != nil {
		t.Fatal(err)
	}
	c.session, c.keys = e.Value, all
	return w, o
}

// login logs the account in as its owner would.
func (w *world) login(a *telegram.Account) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := a.Login(ctx, &person{phone: w.user(trunk).Phone, codes: []string{w.user(trunk).Code}}); err != nil {
		w.t.Fatal(err)
	}
}

// office is an account that runs.
type office struct {
	*telegram.Account
	t      testing.TB
	offers chan bridge.Offer
	stop   func()

	unwanted atomic.Bool // no route takes the account's calls
}

// run lets the account run and waits until it is up.
func (w *world) run(a *telegram.Account) *office {
	w.t.Helper()
	o := w.start(a)
	o.waitUp()
	return o
}

func (w *world) start(a *telegram.Account) *office {
	o := &office{Account: a, t: w.t, offers: make(chan bridge.Offer, 8)}
	o.stop = w.background("account", func(ctx context.Context) error {
		return a.Run(ctx, func(offer bridge.Offer) {
			if t, ok := offer.Leg.(bridge.Taker); ok && !o.unwanted.Load() {
				t.Taken()
			}
			o.offers <- offer
		})
	})
	return o
}

func (o *office) waitUp() { o.waitHealth(func(err error) bool { return err == nil }) }

func (o *office) waitHealth(ok func(error) bool) {
	o.t.Helper()
	eventually(o.t, func() error {
		if err := o.Health(); !ok(err) {
			return fmt.Errorf("health is %w", errors.Join(errors.New("unexpected"), err))
		}
		return nil
	})
}

// eventually tries until it works.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	limit := time.NewTimer(soon)
	defer limit.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatal(err)
		}
	}
}

// open is a logged-in account that runs, in a world of its own.
func open(t testing.TB, edit ...func(*telegram.Options)) (*world, *office) {
	t.Helper()
	return openIn(t, nil, edit...)
}

// openIn is open in a world of a certain kind.
func openIn(t testing.TB, shape func(*cloud.Options), edit ...func(*telegram.Options)) (*world, *office) {
	t.Helper()
	if shape == nil {
		shape = func(*cloud.Options) {}
	}
	w, o := loginOnce(t, shape)
	for _, e := range edit {
		e(&o)
	}
	return w, w.run(newAccount(t, o))
}

func (o *office) dial(n routing.Number) bridge.Leg {
	return o.Dial(context.Background(), routing.Target{Trunk: "office", Number: n})
}

func byName(name string) routing.Number {
	return routing.Number{Kind: routing.Username, Username: name}
}

func byID(id int64) routing.Number { return routing.Number{Kind: routing.UserID, UserID: id} }

func byPhone(number string) routing.Number {
	return routing.Number{Kind: routing.Phone, Phone: number}
}

func (o *office) offer() bridge.Offer {
	o.t.Helper()
	select {
	case offer := <-o.offers:
		return offer
	case <-time.After(soon):
		o.t.Fatal("no call is offered")
	}
	return bridge.Offer{}
}

// next is the leg's next event, which must be of this type; facts are passed over where they are not what is wanted.
func next[E bridge.Event](t testing.TB, l bridge.Leg) E {
	t.Helper()
	var none E
	select {
	case e, ok := <-l.Events():
		if !ok {
			t.Fatalf("leg's events are over, want %T", none)
		}
		want, ok := e.(E)
		if _, facts := e.(bridge.Facts); facts && !ok {
			return next[E](t, l)
		}
		if !ok {
			t.Fatalf("event %T%+v, want %T", e, e, none)
		}
		return want
	case <-time.After(soon):
		t.Fatalf("no event, want %T", none)
	}
	return none
}

// end reads the leg to its end.
func end(t testing.TB, l bridge.Leg) bridge.Ended {
	t.Helper()
	limit := time.After(soon)
	for {
		select {
		case e, ok := <-l.Events():
			if !ok {
				t.Fatal("leg's events are over without an end")
			}
			if ended, ok := e.(bridge.Ended); ok {
				if _, more := <-l.Events(); more {
					t.Error("an event after the end")
				}
				return ended
			}
		case <-limit:
			t.Fatal("leg does not end")
		}
	}
}

func wantEnd(t testing.TB, l bridge.Leg, want bridge.Reason) bridge.Ended {
	t.Helper()
	e := end(t, l)
	if e.Cause.Reason != want || e.Cause.Q850 != bridge.CauseOf(want).Q850 {
		t.Errorf("leg ended for %v (%v), want %v", e.Cause, e.Err, want)
	}
	if e.Err != nil && bridge.CauseFromError(e.Err).Reason != e.Cause.Reason {
		t.Errorf("the error %v carries another verdict, %v", e.Err, bridge.CauseFromError(e.Err))
	}
	return e
}

func incoming(t testing.TB, p *phone.Phone, n int) *phone.Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	c, err := p.Incoming(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// calls lets a phone call the account.
func (w *world) calls(p *phone.Phone, b phone.Behaviour) *phone.Call {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	c, err := p.CallUsername(ctx, "office", b)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// reaches waits for a moment of a phone's call.
func reaches(t testing.TB, c *phone.Call, what string, moment func(phone.Times) time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if !c.Reaches(ctx, moment) {
		t.Fatalf("the call is not %s: %+v", what, c.Times())
	}
}

// over waits for the end of a phone's call.
func over(t testing.TB, c *phone.Call) calls.Ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	e, err := c.Wait(ctx)
	if err != nil {
		t.Fatalf("the phone's call does not end: %v", err)
	}
	return e
}

// up reads the leg's events to its audio.
func up(t testing.TB, l bridge.Leg) media.Flow {
	t.Helper()
	for {
		select {
		case e := <-l.Events():
			switch e := e.(type) {
			case bridge.Media:
				return e.Flow
			case bridge.Ended:
				t.Fatalf("leg ended for %v (%v), without audio", e.Cause, e.Err)
			}
		case <-time.After(soon):
			t.Fatal("leg has no audio")
		}
	}
}

// noCalls waits until Telegram knows of no live call.
func (w *world) noCalls() {
	w.t.Helper()
	eventually(w.t, func() error {
		if live := w.control.ActiveCalls(); len(live) != 0 {
			return fmt.Errorf("calls are live: %+v", live)
		}
		return nil
	})
}

// lastCall is the newest call, as Telegram sees it.
func (w *world) lastCall() cloud.CallInfo {
	w.t.Helper()
	all := w.control.Calls()
	if len(all) == 0 {
		w.t.Fatal("there was no call")
	}
	return all[len(all)-1]
}

// copySession brings the account's login to another store.
func copySession(t testing.TB, from, to store.Store) error {
	e, err := from.Get(t.Context(), "telegram/office/session")
	if err != nil {
		return err
	}
	_, err = to.Put(t.Context(), "telegram/office/session", e.Value, store.Put{})
	return err
}
