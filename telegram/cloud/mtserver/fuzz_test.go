package mtserver

import (
	"bytes"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/tg"
)

func FuzzUnwrap(f *testing.F) {
	for _, e := range []bin.Encoder{
		nearest, proto.GZIP{Data: []byte{1, 2, 3, 4}}, &tg.InvokeAfterMsgsRequest{MsgIDs: []int64{1, 2}, Query: nearest},
		&tg.InvokeWithLayerRequest{Layer: 229, Query: &tg.InitConnectionRequest{APIID: 1, Params: &tg.JSONObject{}, Query: nearest}},
	} {
		var b bin.Buffer
		if err := b.Encode(e); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Buf)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := Unwrap(body)
		if err == nil && len(q.Body) < 4 {
			t.Fatalf("query of %d bytes", len(q.Body))
		}
	})
}

func FuzzSplit(f *testing.F) {
	c := &proto.MessageContainer{Messages: []proto.Message{{ID: 4, SeqNo: 1, Bytes: 4, Body: []byte{1, 2, 3, 4}}}}
	var b, z bin.Buffer
	if err := b.Encode(c); err != nil {
		f.Fatal(err)
	}
	if err := z.Encode(proto.GZIP{Data: b.Buf}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Buf)
	f.Add(z.Buf)
	f.Fuzz(func(t *testing.T, body []byte) {
		parts, err := split(message{id: 8, body: body})
		for _, m := range parts {
			if err == nil && len(m.body) < 4 {
				t.Fatalf("message of %d bytes", len(m.body))
			}
		}
	})
}

// FuzzLink feeds a connection with anything: it must end by itself, whatever the framing.
func FuzzLink(f *testing.F) {
	f.Add([]byte{0xef, 1, 1, 2, 3, 4})
	f.Add([]byte{0xee, 0xee, 0xee, 0xee, 4, 0, 0, 0x80, 1, 2, 3, 4})
	f.Add([]byte{0xdd, 0xdd, 0xdd, 0xdd, 5, 0, 0, 0, 1, 2, 3, 4, 5})
	f.Add([]byte{16, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(bytes.Repeat([]byte{0x41}, 80))
	f.Fuzz(func(t *testing.T, stream []byte) {
		l, err := open(&pipe{r: bytes.NewReader(stream)})
		for err == nil {
			var frame []byte
			frame, _, err = l.read(time.Now().Add(time.Second), time.Second)
			if len(frame) > maxFrame {
				t.Fatalf("frame of %d bytes", len(frame))
			}
		}
	})
}

// pipe is a connection that reads from memory.
type pipe struct {
	net.Conn
	r *bytes.Reader
}

func (p *pipe) Read(b []byte) (int, error)       { return p.r.Read(b) }
func (p *pipe) Write(b []byte) (int, error)      { return len(b), nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *pipe) Close() error                     { return nil }

// FuzzMessage gives a session messages of any content, as from a client that has a key.
func FuzzMessage(f *testing.F) {
	for _, e := range []bin.Encoder{
		&mt.PingRequest{PingID: 1}, &mt.MsgsAck{MsgIDs: []int64{1}}, &mt.MsgsStateReq{MsgIDs: []int64{1}}, &mt.MsgResendReq{MsgIDs: []int64{1}},
		&mt.RPCDropAnswerRequest{ReqMsgID: 4}, &mt.DestroySessionRequest{SessionID: 3}, &mt.GetFutureSaltsRequest{Num: -1}, nearest,
	} {
		var b bin.Buffer
		if err := b.Encode(e); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Buf)
	}
	key, err := testRSA()
	if err != nil {
		f.Fatal(err)
	}
	srv := New(Options{Key: key, DC: func(int) bool { return true }}, &api{keys: map[int64]*Key{}})
	k := &Key{Created: time.Now()}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &Session{id: 1, key: k, srv: srv, came: history{seen: map[int64]*incoming{}}}
		c := srv.conn(&pipe{r: bytes.NewReader(nil)}, 1)
		s.attach(c)
		for range 2 { // the second time as a duplicate
			_ = c.part(t.Context(), s, message{id: 4, body: body})
		}
	})
}

func FuzzHandshake(f *testing.F) {
	key, err := testRSA()
	if err != nil {
		f.Fatal(err)
	}
	var nonce bin.Int128
	_, _ = rand.Read(nonce[:])
	for _, e := range []bin.Encoder{&mt.ReqPqMultiRequest{Nonce: nonce}, &mt.ReqDHParamsRequest{Nonce: nonce}, &mt.SetClientDHParamsRequest{Nonce: nonce}} {
		var b bin.Buffer
		if err := b.Encode(e); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Buf)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := newHandshake(key, func(int) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, made, _ := h.step(body); made != nil {
				t.Fatal("a key came out of one message")
			}
		}
	})
}

func FuzzOpenBinding(f *testing.F) {
	f.Add(make([]byte, 24+96))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		k := Key{}
		if _, _, err := OpenBinding(k.AuthKey, sealed); err == nil && len(sealed) < 24+64 {
			t.Fatal("too short a message was opened")
		}
	})
}
