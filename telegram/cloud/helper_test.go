package cloud

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/exchange"
	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hashOfApp is any api_hash; the server takes all of 32 hex digits.
const hashOfApp = "0123456789abcdef0123456789abcdef"

// testUsers are four people: alice and bob know each other's numbers, carol has a password, dave wants to be left alone.
func testUsers() []User {
	return []User{
		{ID: 1001, Phone: "+99966110001", Username: "alice", FirstName: "Alice", Code: "11111"},
		{ID: 1002, Phone: "+99966110002", Username: "bob_b", FirstName: "Bob", LastName: "Builder", Code: "22222"},
		{ID: 1003, Phone: "+99966110003", Username: "carol", FirstName: "Carol", Code: "33333", Password: "correct horse"},
		{ID: 1004, Phone: "+99966110004", FirstName: "Dave", Privacy: Privacy{Calls: Nobody, P2P: Nobody, Phone: Nobody, Lookup: Nobody}},
		{ID: 1005, Username: "robot", FirstName: "Robot", BotToken: "1005:token"},
	}
}

const (
	alice int64 = 1001 + iota
	bob
	carol
	dave
	robot
)

// testKey is made once: a key takes a second.
var testKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func testLog(t testing.TB) *slog.Logger {
	if os.Getenv("CLOUD_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// startServer runs a server until the test ends, or until stop.
func startServer(t testing.TB, o Options) (s *Server, stop func()) {
	t.Helper()
	if o.Key == nil {
		key, err := testKey()
		if err != nil {
			t.Fatal(err)
		}
		o.Key = key
	}
	if o.Users == nil {
		o.Users = testUsers()
	}
	o.Log = testLog(t)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// client is one device, gotd's telegram.Client over TCP.
type client struct {
	*telegram.Client
	api     *tg.Client
	updates chan tg.UpdateClass // in order of arrival, as far as gotd keeps it
	pending []tg.UpdateClass    // came, but await was not looking for them
	tokens  chan struct{}       // updateLoginToken
	stop    func()
	t       testing.TB
}

type clientOptions struct {
	storage  session.Storage
	addr     *net.TCPAddr // default: the server's
	resolver dcs.Resolver
	pfs      bool
	appID    int
	appHash  string
}

// connect starts a client; it is not logged in unless its storage says so.
func connect(t testing.TB, s *Server, o clientOptions) *client {
	t.Helper()
	if o.appID == 0 {
		o.appID, o.appHash = 17, hashOfApp
	}
	if o.storage == nil {
		o.storage = new(session.StorageMemory)
	}
	if o.addr == nil {
		o.addr = s.Addr()
	}
	if o.resolver == nil {
		o.resolver = dcs.Plain(dcs.PlainOptions{})
	}
	c := &client{updates: make(chan tg.UpdateClass, 1000), tokens: make(chan struct{}, 10), t: t}
	c.Client = telegram.NewClient(o.appID, o.appHash, telegram.Options{
		DC: s.DC(), DCList: dcs.List{Options: []tg.DCOption{{ID: s.DC(), IPAddress: o.addr.IP.String(), Port: o.addr.Port, Static: true}}},
		Resolver: o.resolver, PublicKeys: []exchange.PublicKey{{RSA: s.PublicKey()}}, SessionStorage: o.storage,
		UpdateHandler: telegram.UpdateHandlerFunc(c.handle), EnablePFS: o.pfs,
		RetryInterval: 2 * time.Second, MaxRetries: 3,
	})
	c.api = c.API()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- c.Run(ctx, func(ctx context.Context) error {
			close(ready)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	c.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(c.stop)
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("client: %v", err)
	case <-time.After(60 * time.Second):
		t.Fatal("client does not connect")
	}
	return c
}

func (c *client) handle(_ context.Context, u tg.UpdatesClass) error {
	switch u := u.(type) {
	case *tg.Updates:
		for _, one := range u.Updates {
			c.updates <- one
		}
	case *tg.UpdateShort:
		if _, ok := u.Update.(*tg.UpdateLoginToken); ok {
			c.tokens <- struct{}{}
			return nil
		}
		c.updates <- u.Update
	}
	return nil
}

// login enters with phone and code (and password) and asks for the update state, so that updates come.
func (c *client) login(u User) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	flow := auth.NewFlow(auth.Constant(u.Phone, u.Password, auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) {
		return u.Code, nil
	})), auth.SendCodeOptions{})
	if err := c.Auth().IfNecessary(ctx, flow); err != nil {
		c.t.Fatalf("login of %d: %v", u.ID, err)
	}
	if _, err := c.api.UpdatesGetState(ctx); err != nil {
		c.t.Fatal(err)
	}
}

// loggedIn is a client of a user that gets updates, without the seconds a login takes.
func loggedIn(t testing.TB, s *Server, user int64) *client {
	t.Helper()
	storage := new(session.StorageMemory)
	if err := s.Control().LogIn(user, storage); err != nil {
		t.Fatal(err)
	}
	c := connect(t, s, clientOptions{storage: storage})
	if _, err := c.api.UpdatesGetState(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// user resolves a username to what the API wants.
func (c *client) user(name string) *tg.InputUser {
	c.t.Helper()
	p, err := c.api.ContactsResolveUsername(ctxOf(c.t), &tg.ContactsResolveUsernameRequest{Username: name})
	if err != nil {
		c.t.Fatal(err)
	}
	u := p.Users[0].(*tg.User)
	return &tg.InputUser{UserID: u.ID, AccessHash: u.AccessHash}
}

// ctxOf bounds what one step of a test may take.
func ctxOf(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// await takes the first update of a kind that ok likes out of those that came and were not taken.
func await[T tg.UpdateClass](c *client, ok func(T) bool) T {
	c.t.Helper()
	for i, u := range c.pending {
		if v, is := u.(T); is && (ok == nil || ok(v)) {
			c.pending = slices.Delete(c.pending, i, i+1)
			return v
		}
	}
	limit := time.After(60 * time.Second)
	for {
		select {
		case u := <-c.updates:
			if v, is := u.(T); is && (ok == nil || ok(v)) {
				return v
			}
			c.pending = append(c.pending, u)
		case <-limit:
			var zero T
			c.t.Fatalf("no %T came", zero)
			return zero
		}
	}
}

// awaitCall waits for a state of a call.
func awaitCall[T tg.PhoneCallClass](c *client) T {
	c.t.Helper()
	u := await(c, func(u *tg.UpdatePhoneCall) bool { _, ok := u.PhoneCall.(T); return ok })
	return u.PhoneCall.(T)
}

// wantError checks the text of an rpc_error.
func wantError(t testing.TB, err error, code int, text string) {
	t.Helper()
	var e *tgerr.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want %d %s", err, code, text)
	}
	if e.Code != code || e.Message != text {
		t.Fatalf("got %d %s, want %d %s", e.Code, e.Message, code, text)
	}
}
