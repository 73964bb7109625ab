package mtserver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/transport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is a Handler with a few methods: help.getConfig fails, ping-like help.getNearestDc counts how often it was carried out.
type api struct {
	mu    sync.Mutex
	keys  map[int64]*Key
	calls int
	last  *Call
	query Query
}

func (a *api) Key(id int64) (*Key, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.keys[id]
	return k, ok
}

func (a *api) NewKey(k *Key) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[k.IntID()] = k
	return nil
}

func (a *api) Forget(*Session) {}

func (a *api) Invoke(_ context.Context, c *Call) {
	a.mu.Lock()
	a.calls++
	a.last, a.query = c, c.Query
	n := a.calls
	a.mu.Unlock()
	id, _ := (&bin.Buffer{Buf: c.Body}).PeekID()
	switch id {
	case tg.HelpGetNearestDCRequestTypeID:
		c.Reply(&tg.NearestDC{Country: "XX", ThisDC: n, NearestDC: n}, nil)
	case tg.HelpGetConfigRequestTypeID:
		c.Reply(nil, errors.New("secret details"))
	default:
		c.Reply(nil, tgerr.New(400, "INPUT_METHOD_INVALID"))
	}
}

func (a *api) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

func (a *api) seen() (Query, *Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.query, a.last.Session
}

// world is a server with one key that needed no handshake.
type world struct {
	t    *testing.T
	api  *api
	addr string
	key  *Key
	rsa  *rsa.PrivateKey
	srv  *Server
}

var testRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := testRSA()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, api: &api{keys: map[int64]*Key{}}, rsa: key}
	w.key = w.makeKey(time.Time{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	w.srv = New(Options{Key: key, DC: func(dc int) bool { return dc == 2 }}, w.api)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve does not end")
		}
	})
	return w
}

func (w *world) makeKey(expires time.Time) *Key {
	var value crypto.Key
	_, _ = rand.Read(value[:])
	k := &Key{AuthKey: value.WithID(), Salt: 77, Created: time.Now(), Expires: expires}
	w.api.keys[k.IntID()] = k
	return k
}

// peer is a client that shows what a server does on the wire.
type peer struct {
	w       *world
	t       *testing.T
	conn    net.Conn
	link    transport.Conn
	cipher  crypto.Cipher
	key     *Key
	session int64
	salt    int64
	ids     *proto.MessageIDGen
}

func (w *world) dial() *peer {
	w.t.Helper()
	return w.dialAs(1)
}

func (w *world) dialAs(session int64) *peer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	link, err := transport.Intermediate.Handshake(conn)
	if err != nil {
		w.t.Fatal(err)
	}
	return &peer{w: w, t: w.t, conn: conn, link: link, cipher: crypto.NewClientCipher(rand.Reader), key: w.key, session: session, salt: 77, ids: proto.NewMessageIDGen(time.Now)}
}

func (p *peer) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	p.t.Cleanup(cancel)
	return ctx
}

func encode(t *testing.T, e bin.Encoder) []byte {
	t.Helper()
	var b bin.Buffer
	if err := e.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Buf
}

func (p *peer) newID() int64 { return p.ids.New(proto.MessageFromClient) }

// send sends a message with a fresh id and gives that.
func (p *peer) send(e bin.Encoder) int64 {
	id := p.newID()
	p.sendRaw(id, encode(p.t, e))
	return id
}

func (p *peer) sendRaw(id int64, body []byte) {
	p.t.Helper()
	var b bin.Buffer
	if err := p.cipher.Encrypt(p.key.AuthKey, crypto.EncryptedMessageData{
		Salt: p.salt, SessionID: p.session, MessageID: id, SeqNo: 1, MessageDataLen: int32(len(body)), MessageDataWithPadding: body,
	}, &b); err != nil {
		p.t.Fatal(err)
	}
	if err := p.link.Send(p.ctx(), &b); err != nil {
		p.t.Fatal(err)
	}
}

type received struct {
	id   int64
	seq  int32
	body *bin.Buffer
}

func (r received) typeID() uint32 { id, _ := r.body.PeekID(); return id }

func (p *peer) recv() received {
	p.t.Helper()
	var b bin.Buffer
	if err := p.link.Recv(p.ctx(), &b); err != nil {
		p.t.Fatal(err)
	}
	m, err := p.cipher.DecryptFromBuffer(p.key.AuthKey, &b)
	if err != nil {
		p.t.Fatal(err)
	}
	if m.SessionID != p.session {
		p.t.Fatalf("message for session %d", m.SessionID)
	}
	return received{id: m.MessageID, seq: m.SeqNo, body: &bin.Buffer{Buf: m.Data()}}
}

// until skips messages up to one of a type.
func (p *peer) until(typeID uint32, into bin.Decoder) received {
	p.t.Helper()
	for range 50 {
		r := p.recv()
		if r.typeID() == typeID {
			if err := into.Decode(&bin.Buffer{Buf: slices.Clone(r.body.Buf)}); err != nil {
				p.t.Fatal(err)
			}
			return r
		}
	}
	p.t.Fatalf("no message of type %#x", typeID)
	return received{}
}

// result waits for the answer of a query.
func (p *peer) result(query int64) (received, *bin.Buffer) {
	p.t.Helper()
	for range 50 {
		var res proto.Result
		r := p.until(proto.ResultTypeID, &res)
		if res.RequestMessageID == query {
			return r, &bin.Buffer{Buf: res.Result}
		}
	}
	p.t.Fatal("no answer")
	return received{}, nil
}

func (p *peer) nearest(query int64) int {
	p.t.Helper()
	_, b := p.result(query)
	var n tg.NearestDC
	if err := n.Decode(b); err != nil {
		p.t.Fatal(err)
	}
	return n.ThisDC
}

func (p *peer) failure(query int64) mt.RPCError {
	p.t.Helper()
	_, b := p.result(query)
	var e mt.RPCError
	if err := e.Decode(b); err != nil {
		p.t.Fatal(err)
	}
	return e
}

// quiet is true when nothing comes for a moment.
func (p *peer) quiet() bool {
	var b bin.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	return p.link.Recv(ctx, &b) != nil
}

// clearFrame is an unencrypted packet.
func clearFrame(t *testing.T, id int64, e bin.Encoder, padding int) []byte {
	t.Helper()
	body := encode(t, e)
	frame := binary.LittleEndian.AppendUint64(make([]byte, 8), uint64(id))
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(body)))
	return append(append(frame, body...), make([]byte, padding)...)
}
