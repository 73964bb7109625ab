package signaling

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// seal puts a payload in a packet.
func (c *MediaCipher) seal(t testing.TB, payload []byte) []byte {
	t.Helper()
	buf := append(make([]byte, MediaRoom), payload...)
	packet, err := c.SealMedia(buf, len(payload))
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// TestMediaVector compares with what the general cipher makes of the same plaintext.
func TestMediaVector(t *testing.T) {
	for _, role := range []Role{Caller, Callee} {
		own := NewMediaCipher(vectorKey(), role)
		plain := []byte{0x80, 0, 0, 1, 0x7f, 0, 0, 0, 3, 1, 2, 3}
		want := own.send.seal(plain)
		if got := own.seal(t, []byte{1, 2, 3}); !bytes.Equal(got, want) || len(got) != 3+MediaOverhead {
			t.Errorf("%v: sealed to %x, want %x", role, got, want)
		}
		r, err := NewMediaCipher(vectorKey(), other(role)).OpenMedia(want)
		if err != nil {
			t.Fatal(err)
		}
		if payload, ok := r.Next(); !ok || !bytes.Equal(payload, []byte{1, 2, 3}) {
			t.Errorf("%v: opened to %x, %v", role, payload, ok)
		}
		if _, ok := r.Next(); ok {
			t.Error("a second record")
		}
	}
}

// TestMediaFixedVector is a packet that was computed apart from this code.
func TestMediaFixedVector(t *testing.T) {
	want := unhex(t, "573d808e3ae353619af29464225e2a52e87dae629a504e938ce9a97ee578b00b8226fea7c2")
	if got := NewMediaCipher(vectorKey(), Caller).seal(t, []byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}); !bytes.Equal(got, want) {
		t.Errorf("sealed to %x", got)
	}
}

func TestMediaRefuses(t *testing.T) {
	a, b := NewMediaCipher(vectorKey(), Caller), NewMediaCipher(vectorKey(), Callee)
	packet := a.seal(t, []byte("audio"))
	damaged := bytes.Clone(packet)
	damaged[len(damaged)-1] ^= 1
	for _, c := range []struct {
		packet []byte
		want   error
	}{
		{packet[:20], ErrShort},
		{make([]byte, maxPacketSize+1), ErrLong},
		{damaged, ErrAuthentication},
		{packet, nil},
		{packet, ErrReplay},
		{b.seal(t, []byte("our own")), ErrAuthentication},
		{NewCipher(vectorKey(), Caller, Signaling).send.seal([]byte{0x80, 0, 0, 9, 0x7f, 0, 0, 0, 0}), ErrAuthentication},
	} {
		if _, err := b.OpenMedia(c.packet); !errors.Is(err, c.want) {
			t.Errorf("%d bytes: got %v, want %v", len(c.packet), err, c.want)
		}
	}
	for range 70 {
		packet = a.seal(t, []byte{1})
	}
	if _, err := b.OpenMedia(packet); err != nil {
		t.Errorf("after a gap: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = b.OpenMedia(damaged) }); n > 1 {
		t.Errorf("a forged packet costs %v allocations", n)
	}
}

func TestMediaRecords(t *testing.T) {
	one := func(flags byte, payload string) string {
		return string([]byte{flags, 0, 0, 1, 0x7f, 0, 0, 0, byte(len(payload))}) + payload
	}
	empty, ack := "\x00\x00\x00\x01\xfe", "\x40\x00\x00\x01\xff"
	for _, c := range []struct {
		plain string
		want  []string
	}{
		{one(0x80, "a"), []string{"a"}},
		{one(0x80, ""), []string{""}},
		{one(0, "a") + one(0, "b"), []string{"a", "b"}},
		{empty + ack + one(0, "a") + ack, []string{"a"}},
		{one(0x80, "a") + one(0, "b"), nil},
		{one(0, "a") + one(0x80, "b"), []string{"a"}},
		{one(0, "a") + empty, []string{"a"}},
		{ack + one(0, "a"), nil},
		{one(0, "a")[:9], nil},
		{"\x00\x00\x00\x01\x7f\xff\xff\xff\xffabc", nil},
		{"\x00\x00\x00\x01\x7f\x00\x00", nil},
		{"\x00\x00\x00\x01\x05abcd", nil},
		{"\x00\x00\x00\x01", nil},
	} {
		r := MediaRecords{rest: []byte(c.plain)}
		var got []string
		for p, ok := r.Next(); ok; p, ok = r.Next() {
			got = append(got, string(p))
		}
		if len(got) != len(c.want) {
			t.Errorf("%x: got %q, want %q", c.plain, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%x: got %q, want %q", c.plain, got, c.want)
			}
		}
	}
}

// TestMediaAllocations holds what a packet costs: Go's AES allocates for every new key, nothing else does.
func TestMediaAllocations(t *testing.T) {
	a, b := NewMediaCipher(vectorKey(), Caller), NewMediaCipher(vectorKey(), Callee)
	buf := make([]byte, MediaRoom+200)
	var packet []byte
	seal := testing.AllocsPerRun(200, func() { packet, _ = a.SealMedia(buf, 200) })
	whole := testing.AllocsPerRun(200, func() {
		packet, _ = a.SealMedia(buf, 200)
		r, err := b.OpenMedia(packet)
		if _, ok := r.Next(); !ok || err != nil {
			t.Fatal(err)
		}
	})
	if seal > 1 || whole > 2 {
		t.Errorf("%v allocations to seal, %v there and back", seal, whole)
	}
}

func BenchmarkMediaCipher(b *testing.B) {
	x, y := NewMediaCipher(vectorKey(), Caller), NewMediaCipher(vectorKey(), Callee)
	buf := make([]byte, MediaRoom+92)
	b.ReportAllocs()
	for b.Loop() {
		packet, _ := x.SealMedia(buf, 92)
		_, _ = y.OpenMedia(packet)
	}
}

// TestMediaCapture opens what two official engines sent each other, and seals it again.
func TestMediaCapture(t *testing.T) {
	var c struct {
		KeyHex  string `json:"shared_key_hex"`
		Packets []struct {
			From     string   `json:"from"`
			PlainHex string   `json:"plaintext_hex"`
			BytesHex []string `json:"bytes_hex"`
		} `json:"packets"`
	}
	unpack(t, "testdata/media/13.0.0-mtproto-inband.json.gz", &c)
	key := (&capture{KeyHex: c.KeyHex}).key(t)
	if len(c.Packets) < 20 {
		t.Fatalf("%d packets", len(c.Packets))
	}
	ciphers := map[string][2]*MediaCipher{}
	for _, from := range []string{"caller", "callee"} {
		ciphers[from] = [2]*MediaCipher{NewMediaCipher(key, roleOf(from)), NewMediaCipher(key, other(roleOf(from)))}
	}
	for i, p := range c.Packets {
		pair := ciphers[p.From]
		wire := pair[0].send.seal(unhex(t, p.PlainHex))
		r, err := pair[1].OpenMedia(wire)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		payload, ok := r.Next()
		if !ok || len(p.BytesHex) != 1 || hex.EncodeToString(payload) != p.BytesHex[0] {
			t.Errorf("packet %d opens to %x, %v", i, payload, ok)
		}
		// What we make of the payload is what the engine made of it.
		pair[0].counter = pair[1].seen.largest - 1
		if got := pair[0].seal(t, payload); !bytes.Equal(got, wire) {
			t.Errorf("packet %d seals to %x, want %x", i, got, wire)
		}
	}
}

// unpack reads a gzipped JSON file.
func unpack(t testing.TB, name string, into any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func FuzzMedia(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0x7f, 0, 0, 0, 1, 0}, true)
	f.Add([]byte{0, 0, 0, 1, 0xfe, 0, 0, 0, 2, 0xff, 0, 0, 0, 3, 0x7f, 0, 0, 0, 0}, true)
	f.Fuzz(func(t *testing.T, b []byte, authentic bool) {
		c := NewMediaCipher(vectorKey(), Callee)
		if authentic && len(b) >= seqSize {
			b = NewMediaCipher(vectorKey(), Caller).send.seal(b)
		}
		r, err := c.OpenMedia(b)
		for n := 0; err == nil; n++ {
			if _, ok := r.Next(); !ok {
				break
			}
			if n > len(b) {
				t.Fatal("records without end")
			}
		}
	})
}
