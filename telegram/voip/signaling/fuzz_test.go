package signaling

import (
	"bytes"
	"context"
	"encoding/binary"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// FuzzCipher: nothing but what was sealed for us opens, once.
func FuzzCipher(f *testing.F) {
	good, _ := NewCipher(vectorKey(), Caller, Signaling).Seal([]byte(vectorMessage))
	f.Add(good, []byte("body"))
	f.Add(good[:20], []byte{})
	f.Add(make([]byte, 21), []byte{0})
	f.Fuzz(func(t *testing.T, packet, body []byte) {
		c := NewCipher(vectorKey(), Callee, Signaling)
		_, _, err := c.Open(packet)
		if err == nil {
			if _, _, err := c.Open(packet); err == nil {
				t.Error("opens twice")
			}
		}
		sealed, err := NewCipher(vectorKey(), Caller, Transport).Seal(body)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := NewCipher(vectorKey(), Callee, Transport).Open(sealed)
		if tooShort := len(body) == 0; tooShort != (err == ErrShort) || !tooShort && !bytes.Equal(got, body) {
			t.Errorf("%q becomes %q, %v", body, got, err)
		}
	})
}

// FuzzAcked walks any records, after they were sealed.
func FuzzAcked(f *testing.F) {
	head := appendHead(nil, 2, recordEmpty)
	f.Add(appendHead(head, seqAck|1, recordAck))
	f.Add(append(appendHead(head, seqAck|1, recordCustom), 0, 0, 0, 1, 'x'))
	f.Add(append(appendHead(nil, seqSingle|1, recordCustom), 0, 0, 0, 1, 'x'))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) < recordHead || len(plain) > maxPacketSize-messageKeySize {
			return
		}
		_, a := ackedPair()
		now := time.Now()
		if err := a.enqueue([]byte("ours")); err != nil {
			t.Fatal(err)
		}
		if _, err := a.flush(now); err != nil {
			t.Fatal(err)
		}
		r, err := a.receive(newDirection(vectorKey(), 128).seal(plain), now)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, m := range r.messages {
			total += len(m)
		}
		for _, p := range r.packets {
			if len(p) > maxAckedPacket {
				t.Errorf("%d bytes are sent", len(p))
			}
		}
		if total > len(plain) || len(r.messages) > 0 && r.messages[0] == nil && len(plain) < recordHead+4 {
			t.Errorf("%d bytes give %d", len(plain), total)
		}
		// Drains: every deadline is served and the state comes to rest or waits for our ack.
		for range 100 {
			at, ok := a.deadline()
			if !ok {
				break
			}
			if _, err := a.tick(at); err != nil {
				t.Fatal(err)
			}
		}
		if len(a.acks) != 0 {
			t.Errorf("%d acks are never sent", len(a.acks))
		}
	})
}

// FuzzSCTP sends any chunks to a Channel whose association is up or comes up, with right checksums and tags. The first
// byte chooses role and state; then come packets: one byte for the tag, two for the length, the chunks.
func FuzzSCTP(f *testing.F) {
	packet := func(tag byte, chunks ...byte) []byte {
		return append([]byte{tag, byte(len(chunks) >> 8), byte(len(chunks))}, chunks...)
	}
	init := append([]byte{chunkInit, 0, 0, 20}, 1, 2, 3, 5, 0, 0x50, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9)
	f.Add(append([]byte{0}, packet(0, init...)...))
	f.Add(append([]byte{1}, packet(1, chunkData, 3, 0, 17, 0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0, 0, 53, 'x', 0, 0, 0)...))
	f.Add(append([]byte{1}, packet(1, chunkSack, 0, 0, 20, 0, 0, 0, 1, 0, 0x50, 0, 0, 0, 1, 0, 0, 0, 2, 0, 3)...))
	f.Add(append([]byte{2}, packet(1, chunkAbort, 0, 0, 4)...))
	f.Add(append([]byte{3}, packet(1, chunkHeartbeat, 0, 0, 12, 0, 1, 0, 8, 1, 2, 3, 4)...))
	f.Add(append([]byte{1}, packet(1, 130, 0, 0, 4, 192, 0, 0, 8, 0, 0, 0, 1, chunkCookieEcho, 0, 0, 5, 1, 0, 0, 0)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 20000 {
			return
		}
		synctest.Test(t, func(t *testing.T) { fuzzSCTP(t, data) })
	})
}

func fuzzSCTP(t *testing.T, data []byte) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	role := Caller
	if data[0]&1 != 0 {
		role = Callee
	}
	r := &replayed{}
	r.Channel = open(t, role, r.deliver, r.transmit)
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	_ = r.Send([]byte(message(0)))
	synctest.Wait()
	if data[0]&2 == 0 {
		fuzzEstablish(t, r, role)
	}
	for data = data[1:]; len(data) >= 3; {
		n := min(int(binary.BigEndian.Uint16(data[1:])), len(data)-3)
		tag := r.tag()
		switch data[0] {
		case 0:
			tag = 0
		case 2:
			tag++
		}
		packet := make([]byte, sctpHeader, sctpHeader+n)
		binary.BigEndian.PutUint16(packet, sctpPort)
		binary.BigEndian.PutUint16(packet[2:], sctpPort)
		binary.BigEndian.PutUint32(packet[4:], tag)
		packet = append(packet, data[3:3+n]...)
		binary.LittleEndian.PutUint32(packet[8:], sctpChecksum(packet))
		r.Receive(packet)
		synctest.Wait()
		data = data[3+n:]
	}
	_ = r.Send([]byte(message(1)))
	time.Sleep(15 * time.Second)
	cancel()
	wg.Wait()
}

func (r *replayed) tag() uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ownTag
}

// fuzzEstablish brings the association up as a web engine would.
func fuzzEstablish(t *testing.T, r *replayed, role Role) {
	receive := func(tag uint32, c sctpChunk) {
		r.Receive(sctpPacket{tag: tag, chunks: []sctpChunk{c}}.bytes())
		synctest.Wait()
	}
	w := newWebPeer(other(role), nil)
	if role == Callee {
		receive(0, w.init(chunkInit))
		echo := append(sctpChunk{chunkCookieEcho, 0, 0, byte(4 + len(r.cookie))}, r.cookie...)
		receive(r.tag(), echo)
		return
	}
	ack := append(w.init(chunkInitAck), 0, paramCookie, 0, 20)
	ack = append(ack, "0123456789abcdef"...)
	ack[3] = byte(len(ack))
	receive(r.tag(), ack)
	receive(r.tag(), sctpChunk{chunkCookieAck, 0, 0, 4})
}

// FuzzInflate never gives more than the limit.
func FuzzInflate(f *testing.F) {
	z, _ := deflate([]byte(vectorMessage))
	f.Add(z)
	f.Add([]byte(vectorMessage))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := inflate(b)
		if len(got) > max(maxJSON, len(b)) || err != nil && got != nil {
			t.Errorf("gives %d bytes, %v", len(got), err)
		}
	})
}

// FuzzParse: what is parsed can be printed and parsed again to the same.
func FuzzParse(f *testing.F) {
	for _, c := range captures(f)[:3] {
		for _, m := range append(c.recorded(f, "caller"), c.recorded(f, "callee")...) {
			f.Add(m)
		}
	}
	f.Add([]byte(`{"@type":"MediaState","muted":true,"videoRotation":90}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if _, unknown := m.(Unknown); unknown {
			return
		}
		text, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(text)
		if err != nil || !reflect.DeepEqual(normal(m), normal(back)) {
			t.Errorf("%+v becomes %+v, %v", m, back, err)
		}
	})
}

// normal replaces empty lists by none, which Parse tells apart where a message has the field.
func normal(m Message) string {
	b, _ := Marshal(m)
	return string(b)
}

// FuzzNegotiator: any message of the peer leaves a state that makes sense, and no answer speaks of anything but what
// was offered.
func FuzzNegotiator(f *testing.F) {
	for _, m := range []NegotiateChannels{nativeOffer("1"), webOffer("2"), {ExchangeID: "2001"}} {
		b, _ := Marshal(m)
		f.Add(b, b, byte(0))
		f.Add(b, b, byte(3))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, mode byte) {
		role := Caller
		if mode&1 != 0 {
			role = Callee
		}
		n := negotiator(t, NegotiatorOptions{Role: role})
		if mode&2 != 0 {
			if err := n.Prefer(g711()); err != nil {
				t.Fatal(err)
			}
		}
		if mode&4 == 0 {
			n.Offer()
		}
		for _, b := range [][]byte{first, second} {
			m, err := Parse(b)
			offer, ok := m.(NegotiateChannels)
			if err != nil || !ok {
				continue
			}
			answer, reply := n.Handle(offer)
			checkAnswer(t, n, offer, answer, reply)
			n.Offer()
		}
	})
}

func checkAnswer(t *testing.T, n *Negotiator, offer, answer NegotiateChannels, reply bool) {
	in, out := n.Incoming(), n.Outgoing()
	if out.SSRC != ourSSRC || out.Accepted != (out.Payload.Name != "") || in.Accepted && in.SSRC == 0 {
		t.Errorf("outgoing %+v, incoming %+v", out, in)
	}
	if !reply {
		return
	}
	if answer.ExchangeID != offer.ExchangeID || len(answer.Contents) > 1 || (len(answer.Contents) == 1) != in.Accepted {
		t.Fatalf("answer %+v", answer)
	}
	for _, c := range answer.Contents {
		for _, p := range c.PayloadTypes {
			found := false
			for _, o := range offer.Contents {
				for _, q := range o.PayloadTypes {
					found = found || o.SSRC == c.SSRC && q.ID == p.ID && q.Name == p.Name && q.ClockRate == p.ClockRate
				}
			}
			if !found || !usablePayloadType(p.ID) {
				t.Errorf("%+v was not offered", p)
			}
		}
		for _, e := range c.Extensions {
			if e.URI == uriMID {
				t.Error("mid is accepted")
			}
		}
	}
	if _, err := Marshal(answer); err != nil {
		t.Error(err)
	}
}
