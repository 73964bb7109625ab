package cloud

import (
	"context"
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/tdjson"
)

// TestOfficialLibrary has two accounts of the official client library log in and call each other. It needs a libtdjson.so
// of layer 229 (TDLib 1.8.67) in $TDJSON; the npm package @prebuilt-tdlib/linux-x64-glibc has one.
func TestOfficialLibrary(t *testing.T) {
	path := os.Getenv("TDJSON")
	if path == "" {
		t.Skip("the official client library is NOT tested: set TDJSON to the path of a libtdjson.so (TDLib 1.8.67)")
	}
	w := newTDWorld(t, path)
	a := w.login(w.users[0], t.TempDir(), false)
	b := w.login(w.users[1], t.TempDir(), true)
	bobID := a.find(w.users[1].Phone)

	step := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			a.t, b.t = t, t
			f(t)
		})
		a.t, b.t = t, t
	}
	step("call", func(t *testing.T) { w.call(t, a, b, bobID) })
	step("reject", func(t *testing.T) { w.reject(t, a, b, bobID) })
	step("cancel", func(t *testing.T) { w.cancel(t, a, b, bobID) })
	step("privacy", func(t *testing.T) { w.privacy(t, a, bobID) })
	step("tcp drop", func(t *testing.T) {
		for range 3 { // the second and third within seconds: the library checks the connection first
			w.proxy.drop()
			w.call(t, a, b, bobID)
		}
	})
	step("drop in a call", func(t *testing.T) { w.dropInCall(t, a, b, bobID) })
	step("lost updates", func(t *testing.T) { w.lostUpdates(t, a, b, bobID) })
	step("password", func(t *testing.T) { w.login(w.users[2], t.TempDir(), false).close() })
	step("restart from the database", func(t *testing.T) {
		a.close()
		a = w.open(w.users[0], a.dir, false)
		a.t = t
		a.state("authorizationStateReady")
		if u := a.do(tdjson.Object{"@type": "getUser", "user_id": bobID}); u["first_name"] != "Bob" { // loads the user from the database
			t.Fatalf("user %v", u)
		}
		w.call(t, a, b, bobID)
	})
	step("server restart", func(t *testing.T) {
		w.restart()
		w.call(t, a, b, bobID)
	})
	a.close()
	b.close()
}

type tdWorld struct {
	t      *testing.T
	lib    *tdjson.Library
	server *Server
	stop   func()
	proxy  *socksProxy
	users  []User
	keys   KeyStore
}

func newTDWorld(t *testing.T, path string) *tdWorld {
	w := &tdWorld{t: t, users: testUsers(), keys: MemoryKeys()}
	w.server, w.stop = startServer(t, Options{AuthKeys: w.keys, Relay: Relay{TURN: true}})
	patched := filepath.Join(t.TempDir(), "libtdjson.so")
	if err := tdjson.Patch(path, patched, PublicPEM(w.server.PublicKey())); err != nil {
		t.Fatal(err)
	}
	lib, err := tdjson.Open(patched)
	if err != nil {
		t.Fatal(err)
	}
	lib.Quiet(0)
	if os.Getenv("CLOUD_TEST_LOG") != "" {
		lib.Quiet(2)
	}
	w.lib, w.proxy = lib, startSocks(t)
	w.proxy.point(w.server.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { lib.Run(ctx) })
	t.Cleanup(func() { cancel(); run.Wait() })
	return w
}

func (w *tdWorld) restart() {
	w.stop()
	w.server, w.stop = startServer(w.t, Options{AuthKeys: w.keys, Relay: Relay{TURN: true}})
	w.proxy.point(w.server.Addr().String())
}

// tdClient is one account of the library.
type tdClient struct {
	*tdjson.Client
	t    *testing.T
	dir  string
	seen int64 // newest incoming call
}

// incoming waits for a call that was not seen yet and gives its id.
func (c *tdClient) incoming() int64 {
	c.t.Helper()
	u, err := c.Await(c.ctx(), "incoming call", func(o tdjson.Object) bool {
		call := o.Sub("call")
		return o.Type() == "updateCall" && call["is_outgoing"] != true && call.Int("id") > c.seen && call.Sub("state").Type() == "callStatePending"
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.seen = u.Sub("call").Int("id")
	return c.seen
}

func (c *tdClient) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *tdClient) do(o tdjson.Object) tdjson.Object {
	c.t.Helper()
	answer, err := c.Call(c.ctx(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

func (c *tdClient) send(o tdjson.Object) {
	c.t.Helper()
	if err := c.Send(o); err != nil {
		c.t.Fatal(err)
	}
}

func (c *tdClient) state(want string) {
	c.t.Helper()
	if _, err := c.Await(c.ctx(), want, func(o tdjson.Object) bool { return o.Sub("authorization_state").Type() == want }); err != nil {
		c.t.Fatal(err)
	}
}

func (c *tdClient) close() {
	c.t.Helper()
	if err := c.Close(); err != nil {
		c.t.Error(err)
	}
}

func (w *tdWorld) open(u User, dir string, pfs bool) *tdClient {
	w.t.Helper()
	c := &tdClient{Client: w.lib.Client(), t: w.t, dir: dir}
	c.send(tdjson.Object{"@type": "setOption", "name": "use_pfs", "value": tdjson.Object{"@type": "optionValueBoolean", "value": pfs}})
	host, port := w.proxy.address()
	socks := tdjson.Object{"@type": "proxyTypeSocks5"}
	c.send(tdjson.Object{ // fields of both the older and the newer form
		"@type": "addProxy", "enable": true, "server": host, "port": port, "type": socks,
		"proxy": tdjson.Object{"@type": "proxy", "server": host, "port": port, "type": socks},
	})
	c.do(tdjson.Object{
		"@type": "setTdlibParameters", "database_directory": dir, "api_id": 17, "api_hash": hashOfApp, "system_language_code": "en",
		"device_model": "test", "application_version": "1", "use_message_database": true, "use_chat_info_database": true,
	})
	return c
}

func (w *tdWorld) login(u User, dir string, pfs bool) *tdClient {
	w.t.Helper()
	c := w.open(u, dir, pfs)
	c.state("authorizationStateWaitPhoneNumber")
	c.do(tdjson.Object{"@type": "setAuthenticationPhoneNumber", "phone_number": u.Phone})
	c.state("authorizationStateWaitCode")
	if _, err := c.Call(c.ctx(), tdjson.Object{"@type": "checkAuthenticationCode", "code": "00000"}); err == nil {
		w.t.Fatal("a wrong code was taken")
	}
	c.do(tdjson.Object{"@type": "checkAuthenticationCode", "code": u.Code})
	if u.Password != "" {
		c.state("authorizationStateWaitPassword")
		if _, err := c.Call(c.ctx(), tdjson.Object{"@type": "checkAuthenticationPassword", "password": "wrong"}); err == nil {
			w.t.Fatal("a wrong password was taken")
		}
		c.do(tdjson.Object{"@type": "checkAuthenticationPassword", "password": u.Password})
	}
	c.state("authorizationStateReady")
	return c
}

func (c *tdClient) find(phone string) int64 {
	c.t.Helper()
	return c.do(tdjson.Object{"@type": "searchUserByPhoneNumber", "phone_number": phone}).Int("id")
}

func tdProtocol() tdjson.Object {
	return tdjson.Object{
		"@type": "callProtocol", "udp_p2p": true, "udp_reflector": true, "min_layer": 65, "max_layer": 92,
		"library_versions": []string{"9.0.0", "8.0.0", "13.0.0", "10.0.0"},
	}
}

func (c *tdClient) dial(user int64) int64 {
	c.t.Helper()
	return c.do(tdjson.Object{"@type": "createCall", "user_id": user, "protocol": tdProtocol(), "is_video": false}).Int("id")
}

// rings waits until the other side has received the call. Ending it before fails there: phone.receivedCall comes too late.
func (c *tdClient) rings(id int64) {
	c.t.Helper()
	c.callState(id, "callStatePending", func(s tdjson.Object) bool { return s["is_received"] == true })
}

// callState waits until a call is in a state and gives the call.
func (c *tdClient) callState(id int64, want string, ok func(state tdjson.Object) bool) tdjson.Object {
	c.t.Helper()
	u, err := c.Await(c.ctx(), want, func(o tdjson.Object) bool {
		call := o.Sub("call")
		state := call.Sub("state")
		return o.Type() == "updateCall" && call.Int("id") == id && state.Type() == want && (ok == nil || ok(state))
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return u.Sub("call")
}

// establish makes a call that both sides report ready, with the same emojis.
func (w *tdWorld) establish(t *testing.T, a, b *tdClient, to int64) (atA, atB int64) {
	t.Helper()
	start := time.Now()
	atA = a.dial(to)
	atB = b.incoming()
	a.rings(atA)
	b.do(tdjson.Object{"@type": "acceptCall", "call_id": atB, "protocol": tdProtocol()})
	ready, theirs := a.callState(atA, "callStateReady", nil).Sub("state"), b.callState(atB, "callStateReady", nil).Sub("state")
	if !reflect.DeepEqual(ready["emojis"], theirs["emojis"]) || ready["encryption_key"] != theirs["encryption_key"] || ready["encryption_key"] == "" {
		t.Fatalf("keys differ: %v and %v", ready["emojis"], theirs["emojis"])
	}
	if v := ready.Sub("protocol")["library_versions"]; !reflect.DeepEqual(v, []any{"13.0.0"}) {
		t.Fatalf("versions %v", v)
	}
	if servers, _ := ready["servers"].([]any); len(servers) != 1 {
		t.Fatalf("servers %v", ready["servers"])
	}
	t.Logf("ready after %v", time.Since(start).Round(time.Millisecond))
	return atA, atB
}

func (w *tdWorld) hangUp(t *testing.T, by, other *tdClient, atBy, atOther int64) {
	t.Helper()
	by.do(tdjson.Object{"@type": "discardCall", "call_id": atBy, "is_disconnected": false, "duration": 3, "connection_id": 0})
	for c, id := range map[*tdClient]int64{by: atBy, other: atOther} {
		d := c.callState(id, "callStateDiscarded", nil)
		if r := d.Sub("state").Sub("reason").Type(); r != "callDiscardReasonHungUp" {
			t.Fatalf("reason %s", r)
		}
	}
}

func (c *tdClient) signal(id int64, text string) {
	c.t.Helper()
	c.do(tdjson.Object{"@type": "sendCallSignalingData", "call_id": id, "data": base64.StdEncoding.EncodeToString([]byte(text))})
}

func (c *tdClient) awaitSignal(id int64, text string) {
	c.t.Helper()
	want := base64.StdEncoding.EncodeToString([]byte(text))
	if _, err := c.Await(c.ctx(), "updateNewCallSignalingData", func(o tdjson.Object) bool {
		return o.Type() == "updateNewCallSignalingData" && o.Int("call_id") == id && o["data"] == want
	}); err != nil {
		c.t.Fatal(err)
	}
}

func (w *tdWorld) call(t *testing.T, a, b *tdClient, to int64) {
	atA, atB := w.establish(t, a, b, to)
	a.signal(atA, "from the caller")
	b.awaitSignal(atB, "from the caller")
	b.signal(atB, "from the callee")
	a.awaitSignal(atA, "from the callee")
	w.hangUp(t, a, b, atA, atB)
	if n := len(w.server.Control().ActiveCalls()); n != 0 {
		t.Fatalf("%d calls left", n)
	}
}

func (w *tdWorld) reject(t *testing.T, a, b *tdClient, to int64) {
	atA := a.dial(to)
	atB := b.incoming()
	b.do(tdjson.Object{"@type": "discardCall", "call_id": atB, "is_disconnected": false, "duration": 0, "connection_id": 0})
	if r := a.callState(atA, "callStateDiscarded", nil).Sub("state").Sub("reason").Type(); r != "callDiscardReasonDeclined" {
		t.Fatalf("reason %s", r)
	}
	b.callState(atB, "callStateDiscarded", nil)
}

func (w *tdWorld) cancel(t *testing.T, a, b *tdClient, to int64) {
	atA := a.dial(to)
	atB := b.incoming()
	a.rings(atA)
	a.do(tdjson.Object{"@type": "discardCall", "call_id": atA, "is_disconnected": false, "duration": 0, "connection_id": 0})
	if r := b.callState(atB, "callStateDiscarded", nil).Sub("state").Sub("reason").Type(); r != "callDiscardReasonMissed" {
		t.Fatalf("reason %s", r)
	}
	a.callState(atA, "callStateDiscarded", nil)
}

func (w *tdWorld) privacy(t *testing.T, a *tdClient, to int64) {
	w.server.Control().SetPrivacy(bob, Privacy{Calls: Nobody})
	defer w.server.Control().SetPrivacy(bob, Privacy{})
	call := a.callState(a.dial(to), "callStateError", nil)
	if e := call.Sub("state").Sub("error"); e.Int("code") != 403 || e["message"] != "USER_PRIVACY_RESTRICTED" {
		t.Fatalf("error %v", e)
	}
}

// dropInCall cuts everybody's connections while a call is up; it goes on.
func (w *tdWorld) dropInCall(t *testing.T, a, b *tdClient, to int64) {
	atA, atB := w.establish(t, a, b, to)
	w.proxy.drop()
	a.signal(atA, "after the drop")
	b.awaitSignal(atB, "after the drop")
	w.hangUp(t, b, a, atB, atA)
}

// lostUpdates loses the news of a call; the next update shows the gap and the difference has the call.
func (w *tdWorld) lostUpdates(t *testing.T, a, b *tdClient, to int64) {
	w.server.Control().DropUpdates(bob, true)
	atA := a.dial(to)
	deadline := time.Now().Add(20 * time.Second)
	for len(w.server.Control().ActiveCalls()) == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	w.server.Control().DropUpdates(bob, false)
	w.server.Control().BlockUser(bob, carol, true)
	atB := b.incoming()
	a.rings(atA)
	a.do(tdjson.Object{"@type": "discardCall", "call_id": atA, "is_disconnected": false, "duration": 0, "connection_id": 0})
	b.callState(atB, "callStateDiscarded", nil)
}

// socksProxy takes SOCKS5 connections to anywhere and carries them to one address: the library has Telegram's addresses
// built in. It can cut what it carries.
type socksProxy struct {
	listener net.Listener
	mu       sync.Mutex
	target   string
	conns    map[net.Conn]bool
}

func startSocks(t *testing.T) *socksProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &socksProxy{listener: l, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.carry(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.drop()
		all.Wait()
	})
	return p
}

func (p *socksProxy) address() (string, int) {
	a := p.listener.Addr().(*net.TCPAddr)
	return a.IP.String(), a.Port
}

func (p *socksProxy) point(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
}

func (p *socksProxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *socksProxy) keep(c net.Conn, on bool) (target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.conns[c] = true
	} else {
		delete(p.conns, c)
	}
	return p.target
}

func (p *socksProxy) carry(c net.Conn) {
	defer c.Close() //nolint:errcheck // nothing to do about it
	target := p.keep(c, true)
	defer p.keep(c, false)
	if greet(c) != nil {
		return
	}
	up, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer up.Close() //nolint:errcheck // nothing to do about it
	p.keep(up, true)
	defer p.keep(up, false)
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	})
	_, _ = io.Copy(up, c)
	_ = up.Close()
	back.Wait()
}

// greet plays the server of RFC 1928 for a client without authentication.
func greet(c net.Conn) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, head[1])); err != nil {
		return err
	}
	if _, err := c.Write([]byte{5, 0}); err != nil {
		return err
	}
	request := make([]byte, 4)
	if _, err := io.ReadFull(c, request); err != nil {
		return err
	}
	size := 4
	switch request[3] {
	case 4:
		size = 16
	case 3:
		n := make([]byte, 1)
		if _, err := io.ReadFull(c, n); err != nil {
			return err
		}
		size = int(n[0])
	}
	if _, err := io.ReadFull(c, make([]byte, size+2)); err != nil {
		return err
	}
	_, err := c.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
	return err
}
