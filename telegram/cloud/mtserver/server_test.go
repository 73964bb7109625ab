package mtserver

import (
	"bytes"
	"context"

	"crypto/rand"
	"errors"

	"io"
	"net"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/exchange"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/proto/codec"
	"github.com/gotd/td/tg"
)

var nearest = &tg.HelpGetNearestDCRequest{}

func TestExchange(t *testing.T) {
	w := newWorld(t)
	for name, mode := range map[string]struct{ dc, expires int }{"permanent": {2, 0}, "temporary": {2, 86400}} {
		t.Run(name, func(t *testing.T) {
			p := w.dial()
			e := exchange.NewExchanger(p.link, mode.dc)
			if mode.expires > 0 {
				e = e.WithTempMode(mode.expires)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // gotd tests the prime each time, for seconds
			defer cancel()
			r, err := e.Client([]exchange.PublicKey{{RSA: &w.rsa.PublicKey}}).Run(ctx)
			if err != nil {
				t.Fatal(err)
			}
			key, ok := w.api.Key(r.AuthKey.IntID())
			if !ok || key.Value != r.AuthKey.Value || key.Salt != r.ServerSalt || key.Temporary() != (mode.expires > 0) {
				t.Fatal("the server keeps another key")
			}
			p.key, p.salt = key, r.ServerSalt // and it is good on the same connection
			if n := p.nearest(p.send(nearest)); n == 0 {
				t.Fatal("no answer")
			}
		})
	}
	p := w.dial()
	_, err := exchange.NewExchanger(p.link, 3).Client([]exchange.PublicKey{{RSA: &w.rsa.PublicKey}}).Run(p.ctx())
	var protocol *codec.ProtocolErr
	if !errors.As(err, &protocol) || protocol.Code != codec.CodeWrongDC {
		t.Fatalf("wrong dc: %v", err)
	}
}

// TestConnectionCheck is what an official client does on a new connection after one was lost.
func TestConnectionCheck(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	var nonce bin.Int128
	_, _ = rand.Read(nonce[:])
	if err := p.link.Send(p.ctx(), &bin.Buffer{Buf: clearFrame(t, 1, &mt.ReqPqMultiRequest{Nonce: nonce}, 64)}); err != nil {
		t.Fatal(err)
	}
	var b bin.Buffer
	if err := p.link.Recv(p.ctx(), &b); err != nil {
		t.Fatal(err)
	}
	var m proto.UnencryptedMessage
	var pq mt.ResPQ
	if err := errors.Join(m.Decode(&b), pq.Decode(&bin.Buffer{Buf: m.MessageData})); err != nil || pq.Nonce != nonce {
		t.Fatal(err, pq.Nonce)
	}
	if n := p.nearest(p.send(nearest)); n != 1 {
		t.Fatal("the key is not good after the check")
	}
}

func TestUnknownKey(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.key = &Key{AuthKey: crypto.Key{1, 2, 3}.WithID()}
	p.send(nearest)
	var b bin.Buffer
	var protocol *codec.ProtocolErr
	if err := p.link.Recv(p.ctx(), &b); !errors.As(err, &protocol) || protocol.Code != codec.CodeAuthKeyNotFound {
		t.Fatalf("got %v", err)
	}
	p.key = w.key // the connection is still good
	p.nearest(p.send(nearest))

	p.key = w.makeKey(time.Now().Add(-time.Second)) // a temporary key that is over
	p.send(nearest)
	if err := p.link.Recv(p.ctx(), &b); !errors.As(err, &protocol) || protocol.Code != codec.CodeAuthKeyNotFound {
		t.Fatalf("got %v", err)
	}
}

func TestSessionCreated(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	first, second := p.newID(), p.newID()
	c := &proto.MessageContainer{Messages: []proto.Message{
		{ID: first, SeqNo: 1, Body: encode(t, nearest)}, {ID: second, SeqNo: 2, Body: encode(t, &mt.PingRequest{PingID: 5})},
	}}
	for i := range c.Messages {
		c.Messages[i].Bytes = len(c.Messages[i].Body)
	}
	p.send(c)
	var created mt.NewSessionCreated
	p.until(mt.NewSessionCreatedTypeID, &created)
	if created.FirstMsgID != first {
		t.Fatalf("first_msg_id %d, want %d", created.FirstMsgID, first)
	}
	p.nearest(first)
	var pong mt.Pong
	p.until(mt.PongTypeID, &pong)
	if pong.MsgID != second || pong.PingID != 5 {
		t.Fatalf("pong %+v", pong)
	}
	p.nearest(p.send(nearest))
	if w.dialAs(1); !p.quiet() {
		t.Fatal("something came unasked")
	}
}

func TestDuplicatesAreAnsweredNotRepeated(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	id := p.newID()
	p.sendRaw(id, encode(t, nearest))
	first, _ := p.result(id)
	p.sendRaw(id, encode(t, nearest))
	again, _ := p.result(id)
	if first.id != again.id || w.api.count() != 1 {
		t.Fatalf("answers %d and %d, carried out %d times", first.id, again.id, w.api.count())
	}
	p.send(&mt.MsgsAck{MsgIDs: []int64{first.id}})
	p.sendRaw(id, encode(t, nearest))
	p.nearest(p.send(nearest))
	if w.api.count() != 2 {
		t.Fatalf("carried out %d times", w.api.count())
	}
}

// TestReconnect: a session goes on over its newest connection, and what was not acknowledged comes again.
func TestReconnect(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	id := p.send(nearest)
	answer, _ := p.result(id)
	_, s := w.api.seen()
	_ = p.conn.Close()
	for s.Connected() {
		time.Sleep(time.Millisecond)
	}
	if err := s.Push(&tg.UpdatesTooLong{}); err != nil {
		t.Fatal(err)
	}
	p2 := w.dial()
	ping := p2.send(&mt.PingRequest{PingID: 9})
	got := map[uint32]int64{}
	for range 4 { // new_session_created, the answer, the update, the pong
		r := p2.recv()
		got[r.typeID()] = r.id
	}
	if got[proto.ResultTypeID] != answer.id || got[tg.UpdatesTooLongTypeID] == 0 || got[mt.PongTypeID] == 0 {
		t.Fatalf("got %v after ping %d", got, ping)
	}
	// Both connections open: the newer one is the session's, and an older packet does not take it back.
	p3 := w.dial()
	p3.nearest(p3.send(nearest))
	p2.send(&mt.PingRequest{PingID: 10})
	var pong mt.Pong
	p3.until(mt.PongTypeID, &pong)
	if pong.PingID != 10 {
		t.Fatalf("pong %+v", pong)
	}
}

func TestSalts(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.salt = 1234
	id := p.send(nearest)
	var bad mt.BadServerSalt
	p.until(mt.BadServerSaltTypeID, &bad)
	if bad.BadMsgID != id || bad.ErrorCode != 48 || w.api.count() != 0 {
		t.Fatalf("bad salt %+v", bad)
	}
	p.salt = bad.NewServerSalt
	p.sendRaw(id, encode(t, nearest))
	p.nearest(id)
	ask := p.send(&mt.GetFutureSaltsRequest{Num: 3})
	var salts mt.FutureSalts
	p.until(mt.FutureSaltsTypeID, &salts)
	if salts.ReqMsgID != ask || len(salts.Salts) != 3 || salts.Salts[0].ValidSince > salts.Now || salts.Salts[1].ValidSince >= salts.Salts[0].ValidUntil {
		t.Fatalf("salts %+v", salts)
	}
	p.salt = salts.Salts[0].Salt
	p.nearest(p.send(nearest))

	k, now := w.key, time.Now()
	if k.goodSalt(k.Salt, now.Add(2*saltLife)) || !k.goodSalt(k.currentSalt(now.Add(saltLife)), now.Add(saltLife)) {
		t.Fatal("salts live too long, or not long enough")
	}
}

func TestBadMessages(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	now := time.Now()
	for code, id := range map[int]int64{
		16: int64(proto.NewMessageID(now.Add(-10*time.Minute), proto.MessageFromClient)),
		17: int64(proto.NewMessageID(now.Add(5*time.Minute), proto.MessageFromClient)),
		18: int64(proto.NewMessageID(now, proto.MessageFromServer)),
	} {
		p.sendRaw(id, encode(t, nearest))
		var bad mt.BadMsgNotification
		p.until(mt.BadMsgNotificationTypeID, &bad)
		if bad.ErrorCode != code || bad.BadMsgID != id {
			t.Fatalf("%+v, want %d", bad, code)
		}
	}
	body := encode(t, &proto.MessageContainer{Messages: []proto.Message{{ID: 4, Bytes: 400, Body: make([]byte, 8)}}})
	p.sendRaw(p.newID(), body)
	var bad mt.BadMsgNotification
	if p.until(mt.BadMsgNotificationTypeID, &bad); bad.ErrorCode != 64 {
		t.Fatalf("%+v", bad)
	}
	if w.api.count() != 0 {
		t.Fatal("something was carried out")
	}
	p.nearest(p.send(nearest))
}

func TestErrors(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	if e := p.failure(p.send(&tg.HelpGetConfigRequest{})); e.ErrorCode != 500 || e.ErrorMessage != "INTERNAL" {
		t.Fatalf("inner error shows: %+v", e)
	}
	if e := p.failure(p.send(&tg.AuthLogOutRequest{})); e.ErrorCode != 400 {
		t.Fatalf("%+v", e)
	}
	id := p.newID()
	p.sendRaw(id, []byte{0xde, 0xad, 0xbe, 0xef})
	if e := p.failure(id); e.ErrorCode != 400 {
		t.Fatalf("%+v", e)
	}
}

func TestServiceMessages(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	id := p.send(nearest)
	answer, _ := p.result(id)
	ask := p.send(&mt.MsgsStateReq{MsgIDs: []int64{id, id - 4, p.newID() + 400<<32}})
	var info mt.MsgsStateInfo
	p.until(mt.MsgsStateInfoTypeID, &info)
	if info.ReqMsgID != ask || !bytes.Equal(info.Info, []byte{stateReceived | stateAnswered, stateMissing, stateFuture}) {
		t.Fatalf("states %v", info.Info)
	}
	p.send(&mt.MsgResendReq{MsgIDs: []int64{answer.id}})
	if again, _ := p.result(id); again.id != answer.id {
		t.Fatal("another answer")
	}
	p.send(wrapped(func(b *bin.Buffer) error {
		b.PutID(msgResendAnsReqTypeID)
		b.PutVectorHeader(1)
		b.PutLong(id)
		return nil
	}))
	p.result(id)

	drop := p.send(&mt.RPCDropAnswerRequest{ReqMsgID: id})
	_, b := p.result(drop)
	var dropped mt.RPCAnswerDropped
	if err := dropped.Decode(b); err != nil || dropped.MsgID != answer.id {
		t.Fatal(dropped, err)
	}
	drop = p.send(&mt.RPCDropAnswerRequest{ReqMsgID: id})
	_, b = p.result(drop)
	if err := new(mt.RPCAnswerUnknown).Decode(b); err != nil {
		t.Fatal(err)
	}
	other := w.dialAs(2)
	other.nearest(other.send(nearest))
	p.send(&mt.DestroySessionRequest{SessionID: 2})
	p.until(mt.DestroySessionOkTypeID, new(mt.DestroySessionOk))
	p.send(&mt.DestroySessionRequest{SessionID: 2})
	p.until(mt.DestroySessionNoneTypeID, new(mt.DestroySessionNone))
}

func TestPingDelayDisconnect(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.send(&mt.PingDelayDisconnectRequest{PingID: 3, DisconnectDelay: 1})
	p.until(mt.PongTypeID, new(mt.Pong))
	start := time.Now()
	var b bin.Buffer
	if err := p.link.Recv(p.ctx(), &b); !errors.Is(err, io.EOF) || time.Since(start) > 5*time.Second {
		t.Fatalf("cut after %v with %v", time.Since(start), err)
	}
}

// TestBadConnections: none of them disturbs the others.
func TestBadConnections(t *testing.T) {
	w := newWorld(t)
	good := w.dial()
	garbage := make([]byte, 4096)
	for i := range 60 {
		_, _ = rand.Read(garbage)
		conn, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		switch i % 6 {
		case 0: // noise, taken for obfuscation
		case 1:
			copy(garbage, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		case 2:
			copy(garbage, []byte{0xee, 0xee, 0xee, 0xee, 0xff, 0xff, 0xff, 0x7f})
		case 3:
			garbage[0] = 0xef
		case 4:
			copy(garbage, []byte{8, 0, 0, 0, 0, 0, 0, 0}) // a full frame that is too short
		case 5:
			copy(garbage, []byte{0xdd, 0xdd, 0xdd, 0xdd, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		}
		_, _ = conn.Write(garbage[:1+i*50])
		_ = conn.Close()
	}
	slow, err := net.Dial("tcp", w.addr) // one byte and then nothing: it waits for its deadline, nobody waits for it
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close() //nolint:errcheck // test
	_, _ = slow.Write([]byte{0x55})
	good.nearest(good.send(nearest))
}

func TestSlowReaderIsCutOff(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.nearest(p.send(nearest))
	_, s := w.api.seen()
	big := wrapped(func(b *bin.Buffer) error { b.Put(make([]byte, 64<<10)); return nil })
	for range queueFrames + 2000 {
		if !s.Connected() {
			break
		}
		if err := s.Push(big); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); s.Connected() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if s.Connected() {
		t.Fatal("a client that does not read is kept")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) > keepSent || s.bytes > keepSentSize+(64<<10) {
		t.Fatalf("%d messages of %d bytes are kept for it", len(s.sent), s.bytes)
	}
}

func TestQuickAck(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // test
	cipher := crypto.NewClientCipher(rand.Reader)
	var b bin.Buffer
	body := encode(t, nearest)
	data := crypto.EncryptedMessageData{Salt: 77, SessionID: 5, MessageID: int64(proto.NewMessageID(time.Now(), proto.MessageFromClient)), MessageDataLen: int32(len(body)), MessageDataWithPadding: body}
	if err := cipher.Encrypt(w.key.AuthKey, data, &b); err != nil {
		t.Fatal(err)
	}
	var out bin.Buffer
	out.Put([]byte{0xee, 0xee, 0xee, 0xee})
	out.PutUint32(uint32(b.Len()) | 1<<31)
	out.Put(b.Buf)
	if _, err := conn.Write(out.Buf); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	token := make([]byte, 4)
	if _, err := io.ReadFull(conn, token); err != nil {
		t.Fatal(err)
	}
	if token[3]&0x80 == 0 {
		t.Fatalf("token % x has no mark", token)
	}
}

func TestBinding(t *testing.T) {
	w := newWorld(t)
	perm := w.makeKey(time.Time{})
	inner := &crypto.BindAuthKeyInner{Nonce: 1, TempAuthKeyID: 2, PermAuthKeyID: perm.IntID(), TempSessionID: 4, ExpiresAt: 5}
	sealed, err := crypto.EncryptBindMessage(rand.Reader, perm.AuthKey, 4321, inner)
	if err != nil {
		t.Fatal(err)
	}
	got, id, err := OpenBinding(perm.AuthKey, sealed)
	if err != nil || got != *inner || id != 4321 {
		t.Fatal(got, id, err)
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		if _, _, err := OpenBinding(perm.AuthKey, broken); err == nil && i < 24+80 {
			t.Fatalf("byte %d does not matter", i)
		}
		if _, _, err := OpenBinding(perm.AuthKey, sealed[:i]); err == nil {
			t.Fatalf("%d bytes are enough", i)
		}
	}
}

func TestSweep(t *testing.T) {
	w := newWorld(t)
	p := w.dial()
	p.nearest(p.send(nearest))
	_, s := w.api.seen()
	w.srv.forget(time.Now().Add(2 * sessionLife))
	if n := len(w.srv.sessions); n != 1 {
		t.Fatalf("%d sessions: a connected one was forgotten", n)
	}
	_ = p.conn.Close()
	for s.Connected() {
		time.Sleep(time.Millisecond)
	}
	w.srv.forget(time.Now().Add(2 * sessionLife))
	if n := len(w.srv.sessions); n != 0 {
		t.Fatalf("%d sessions left", n)
	}
}
