package signaling

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// capture is one file of testdata/captures.
type capture struct {
	name    string
	Version string `json:"version"`
	KeyHex  string `json:"shared_key_hex"`
	Packets []struct {
		From     string          `json:"from"`
		WireHex  string          `json:"wire_hex"`
		PlainHex string          `json:"plaintext_hex"`
		JSON     json.RawMessage `json:"json"`
		Messages []struct {
			Seq  uint32          `json:"seq"`
			Ack  bool            `json:"requires_ack_bit"`
			Type int             `json:"type"`
			JSON json.RawMessage `json:"json"`
		} `json:"messages"`
		SCTP *struct {
			Tag    uint32 `json:"vtag"`
			Chunks []struct {
				Type      string `json:"type"`
				Flags     byte   `json:"flags"`
				Length    int    `json:"length"`
				InitTag   uint32 `json:"init_tag"`
				TSN       uint32 `json:"tsn"`
				UserHex   string `json:"user_data_hex"`
				Decrypted *struct {
					PlainHex string          `json:"plaintext_hex"`
					JSON     json.RawMessage `json:"json"`
				} `json:"decrypted"`
			} `json:"chunks"`
		} `json:"sctp"`
	} `json:"signaling"`
	InBand []inBand `json:"-"`
}

// inBand is what one side said inside the call: a message of the data channel, or, where the call's own encryption
// stands in for DTLS and SRTP, a packet of it.
type inBand struct {
	From     string          `json:"from"`
	JSON     json.RawMessage `json:"json"`
	Text     string          `json:"raw_json"`
	PlainHex string          `json:"plaintext_hex"`
	Messages []struct {
		Seq   uint32 `json:"seq"`
		Type  int    `json:"type"`
		Bytes string `json:"bytes_hex"`
	} `json:"messages"`
}

// unmarshal reads a capture. The name of one field has a comma, which no struct tag can.
func (c *capture) unmarshal(text []byte) error {
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, c), json.Unmarshal(text, &all)); err != nil {
		return err
	}
	for name, value := range all {
		if strings.HasPrefix(name, "in_band ") {
			return json.Unmarshal(value, &c.InBand)
		}
	}
	return errors.New("there is no in_band")
}

func (c *capture) key(t testing.TB) *Key {
	var k Key
	if copy(k[:], unhex(t, c.KeyHex)) != len(k) {
		t.Fatal("short key")
	}
	return &k
}

func (c *capture) framing() framing {
	for _, v := range versions() {
		if v.name == c.Version {
			return v.framing
		}
	}
	return 0
}

// captures reads all captures.
func captures(t testing.TB) []*capture {
	t.Helper()
	names, err := filepath.Glob("testdata/captures/*.json.gz")
	if err != nil || len(names) < 20 {
		t.Fatalf("found %d captures, %v", len(names), err)
	}
	var all []*capture
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		c := &capture{name: strings.TrimSuffix(filepath.Base(name), ".json.gz")}
		text, err := io.ReadAll(z)
		if err := errors.Join(err, c.unmarshal(text)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f.Close()
		if len(c.Packets) == 0 || c.framing() == 0 {
			t.Fatalf("%s: no packets, or version %q", name, c.Version)
		}
		all = append(all, c)
	}
	return all
}

func roleOf(from string) Role {
	if from == "caller" {
		return Caller
	}
	return Callee
}

func other(r Role) Role {
	if r == Caller {
		return Callee
	}
	return Caller
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Errorf("%q: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Errorf("%q: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

// TestCaptures opens every packet of every capture and compares with what was recorded.
func TestCaptures(t *testing.T) {
	packets, messages := 0, 0
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			for i, p := range c.Packets {
				packets++
				wire, sender := unhex(t, p.WireHex), newDirection(c.key(t), 128)
				if p.From == "callee" {
					sender = newDirection(c.key(t), 136)
				}
				switch {
				case p.SCTP != nil:
					messages += checkSCTP(t, c, i, sender)
				case c.framing() == framingAcked:
					messages += checkAcked(t, c, i, sender)
				default:
					plain, ok := sender.open(wire)
					if !ok || hex.EncodeToString(plain) != p.PlainHex {
						t.Fatalf("packet %d opens to %x, %v", i, plain, ok)
					}
					checkMessage(t, plain[seqSize:], p.JSON)
					messages++
					checkSealed(t, c, i, plain, wire)
				}
			}
		})
	}
	t.Logf("%d packets, %d messages", packets, messages)
	if packets < 600 || messages < 300 {
		t.Errorf("only %d packets and %d messages were seen", packets, messages)
	}
}

// checkSealed writes a raw packet once more, as its sender did.
func checkSealed(t *testing.T, c *capture, i int, plain, want []byte) {
	t.Helper()
	sender := NewCipher(c.key(t), roleOf(c.Packets[i].From), Signaling)
	sender.counter = binary.BigEndian.Uint32(plain) - 1
	if sealed, err := sender.Seal(plain[seqSize:]); err != nil || !bytes.Equal(sealed, want) {
		t.Errorf("packet %d: counter %d seals to %x, %v; want %x", i, sender.counter, sealed, err, want)
	}
}

// checkSCTP compares the chunks of a packet, opens the messages in them, and seals them again.
func checkSCTP(t *testing.T, c *capture, i int, sender direction) (messages int) {
	t.Helper()
	rec := c.Packets[i]
	wire := unhex(t, rec.WireHex)
	p, err := parseSCTP(wire)
	if err != nil {
		t.Fatalf("packet %d: %v", i, err)
	}
	if p.tag != rec.SCTP.Tag || len(p.chunks) != len(rec.SCTP.Chunks) {
		t.Fatalf("packet %d has tag %d and %d chunks", i, p.tag, len(p.chunks))
	}
	if got := hex.EncodeToString(p.bytes()); got != rec.WireHex {
		t.Errorf("packet %d is printed as %s", i, got)
	}
	kinds := map[string]byte{
		"DATA": chunkData, "INIT": chunkInit, "INIT_ACK": chunkInitAck, "SACK": chunkSack, "ABORT": chunkAbort,
		"COOKIE_ECHO": chunkCookieEcho, "COOKIE_ACK": chunkCookieAck, "HEARTBEAT": chunkHeartbeat, "HEARTBEAT_ACK": 5,
	}
	for j, want := range rec.SCTP.Chunks {
		got := p.chunks[j]
		if kind, ok := kinds[want.Type]; !ok || got.kind() != kind || got[1] != want.Flags || len(got) != want.Length {
			t.Errorf("packet %d: chunk %x is %s", i, got[:4], want.Type)
			continue
		}
		switch want.Type {
		case "INIT", "INIT_ACK":
			engine := PeerNative
			if strings.Contains(c.name, "web") && (want.Length == 20 || want.Length == 40) {
				engine = PeerWeb
			}
			if got.initTag() != want.InitTag || got.engine() != engine {
				t.Errorf("packet %d: tag %d of %v engine, want %d of %v", i, got.initTag(), got.engine(), want.InitTag, engine)
			}
		case "DATA":
			if got.tsn() != want.TSN || !got.ours() || hex.EncodeToString(got[dataHeader:]) != want.UserHex {
				t.Errorf("packet %d: DATA %d differs", i, want.TSN)
			}
			plain, ok := sender.open(got[dataHeader:])
			if !ok || hex.EncodeToString(plain) != want.Decrypted.PlainHex {
				t.Fatalf("packet %d: DATA %d opens to %x, %v", i, want.TSN, plain, ok)
			}
			checkMessage(t, plain[seqSize:], want.Decrypted.JSON)
			checkSealed(t, c, i, plain, unhex(t, want.UserHex))
			messages++
		}
	}
	return messages
}

// checkAcked walks the records of a packet, compares them one by one, and lets its sender write it again.
func checkAcked(t *testing.T, c *capture, i int, sender direction) (messages int) {
	t.Helper()
	rec := c.Packets[i]
	plain, ok := sender.open(unhex(t, rec.WireHex))
	if !ok || hex.EncodeToString(plain) != rec.PlainHex {
		t.Fatalf("packet %d opens to %x, %v", i, plain, ok)
	}
	// A fresh receiver that has all acknowledged messages in flight sees each message and each ack.
	a := acked{cipher: NewCipher(c.key(t), other(roleOf(rec.From)), Signaling)}
	var acks, want int
	for _, m := range rec.Messages {
		switch byte(m.Type) {
		case recordAck:
			acks++
			a.unacked = append(a.unacked, record{seq: seqAck | m.Seq, sent: time.Now()})
		case recordCustom:
			want++
		}
	}
	r, err := a.receive(unhex(t, rec.WireHex), time.Now())
	if err != nil || r.err != nil || len(r.messages) != want || len(a.unacked) != 0 {
		t.Fatalf("packet %d: %d messages, %d of %d acks left, %v, %v", i, len(r.messages), len(a.unacked), acks, err, r.err)
	}
	checkRewritten(t, c, i, r.messages)
	for _, m := range rec.Messages {
		if byte(m.Type) == recordCustom {
			if len(a.known) <= messages || a.known[messages] != m.Seq {
				t.Errorf("packet %d: counters %v, want %d", i, a.known, m.Seq)
			}
			checkMessage(t, r.messages[messages], m.JSON)
			messages++
		}
	}
	return messages
}

// checkRewritten lets a sender that has to say what a packet says write it, record by record.
func checkRewritten(t *testing.T, c *capture, i int, messages [][]byte) {
	t.Helper()
	rec := c.Packets[i]
	a := acked{cipher: NewCipher(c.key(t), roleOf(rec.From), Signaling)}
	for _, m := range rec.Messages {
		switch byte(m.Type) {
		case recordAck:
			a.acks = append(a.acks, seqAck|m.Seq)
		case recordCustom:
			a.cipher.counter = m.Seq - 1
			if err := a.enqueue(messages[len(a.unacked)]); err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
		}
	}
	write := a.flush
	if head := rec.Messages[0]; byte(head.Type) == recordEmpty {
		a.cipher.counter, write = head.Seq-1, a.service
	}
	if packet, err := write(time.Now()); err != nil || hex.EncodeToString(packet) != rec.WireHex {
		plain, _ := a.cipher.send.open(packet)
		t.Errorf("packet %d is written as %x, %v; want %s", i, plain, err, rec.PlainHex)
	}
	if len(a.acks) > 0 {
		t.Errorf("packet %d is written without %d acks", i, len(a.acks))
	}
}

// TestCapturesInBand reads and writes what was said on the data channels, and where they were a call's own packets those.
func TestCapturesInBand(t *testing.T) {
	states, packets := 0, 0
	for _, c := range captures(t) {
		for i, b := range c.InBand {
			if b.PlainHex != "" {
				checkMediaPacket(t, c, i)
				packets++
				continue
			}
			m, err := Parse([]byte(b.Text))
			if err != nil || !sameJSON(t, []byte(b.Text), b.JSON) {
				t.Fatalf("%s: %s: %v, want %s", c.name, b.Text, err, b.JSON)
			}
			var want struct {
				Muted, LowBattery           bool
				VideoState, ScreencastState string
				VideoRotation               int
			}
			if err := json.Unmarshal(b.JSON, &want); err != nil {
				t.Fatal(err)
			}
			if state, ok := m.(MediaState); !ok || state != MediaState(want) {
				t.Errorf("%s: %s is read as %+v", c.name, b.Text, m)
			}
			again, err := Marshal(m)
			if err != nil || !sameJSON(t, again, []byte(b.Text)) {
				t.Errorf("%s: %s is printed as %s, %v", c.name, b.Text, again, err)
			}
			// The native engine prints keys in our order.
			if native := strings.Contains(b.Text, `": `); native {
				var compact bytes.Buffer
				if err := json.Compact(&compact, []byte(b.Text)); err != nil || !bytes.Equal(compact.Bytes(), again) {
					t.Errorf("%s: %s is printed as %s, %v", c.name, &compact, again, err)
				}
			}
			states++
		}
	}
	t.Logf("%d media states, %d packets", states, packets)
	if states < 80 || packets < 20 {
		t.Errorf("only %d media states and %d packets were seen", states, packets)
	}
}

// checkMediaPacket writes a packet of network_use_mtproto as its sender did, and opens it as the other side.
func checkMediaPacket(t *testing.T, c *capture, i int) {
	t.Helper()
	b := c.InBand[i]
	if len(b.Messages) != 1 || byte(b.Messages[0].Type) != recordCustom {
		t.Fatalf("%s: packet %d has the records %+v", c.name, i, b.Messages)
	}
	payload, sender := unhex(t, b.Messages[0].Bytes), NewMediaCipher(c.key(t), roleOf(b.From))
	sender.counter = b.Messages[0].Seq - 1
	packet := sender.seal(t, payload)
	if plain, ok := sender.send.open(packet); !ok || hex.EncodeToString(plain) != b.PlainHex {
		t.Errorf("%s: packet %d is written as %x, want %s", c.name, i, plain, b.PlainHex)
	}
	r, err := NewMediaCipher(c.key(t), other(roleOf(b.From))).OpenMedia(packet)
	if err != nil {
		t.Fatalf("%s: packet %d: %v", c.name, i, err)
	}
	if got, ok := r.Next(); !ok || !bytes.Equal(got, payload) {
		t.Errorf("%s: packet %d is read as %x", c.name, i, got)
	}
}

// checkMessage compares a message with the recorded JSON, and what Marshal makes of it with what was parsed.
func checkMessage(t *testing.T, body []byte, want json.RawMessage) {
	t.Helper()
	text, err := inflate(body)
	if err != nil || !sameJSON(t, text, want) {
		t.Fatalf("message is %q, %v; want %s", text, err, want)
	}
	m, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if _, unknown := m.(Unknown); unknown {
		t.Fatalf("%s is not known", text)
	}
	again, err := Marshal(m)
	if err != nil {
		t.Fatalf("%+v: %v", m, err)
	}
	back, err := Parse(again)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("%s becomes %s, %v", text, again, err)
	}
	if native := !strings.Contains(string(text), `"ssrcGroups":[]`) && strings.Contains(string(text), `": `); native && !sameJSON(t, again, text) {
		t.Errorf("%s is printed as %s", text, again)
	}
	z, err := deflate(text)
	if err != nil {
		t.Fatal(err)
	}
	if round, err := inflate(z); err != nil || string(round) != string(text) {
		t.Errorf("gzip gives %q, %v", round, err)
	}
}

// recorded lists the messages of one side in order, each once.
func (c *capture) recorded(t testing.TB, from string) [][]byte {
	t.Helper()
	var list [][]byte
	seen := map[uint32]bool{}
	add := func(counter uint32, text json.RawMessage) {
		if !seen[counter] {
			seen[counter] = true
			list = append(list, text)
		}
	}
	for _, p := range c.Packets {
		if p.From != from {
			continue
		}
		for _, m := range p.Messages {
			if byte(m.Type) == recordCustom {
				add(m.Seq, m.JSON)
			}
		}
		if p.JSON != nil {
			add(binary.BigEndian.Uint32(unhex(t, p.PlainHex)), p.JSON)
		}
		if p.SCTP != nil {
			for _, chunk := range p.SCTP.Chunks {
				if chunk.Type == "DATA" {
					add(binary.BigEndian.Uint32(unhex(t, chunk.Decrypted.PlainHex)), chunk.Decrypted.JSON)
				}
			}
		}
	}
	return list
}
