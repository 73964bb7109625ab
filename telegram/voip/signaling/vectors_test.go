package signaling

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"time"
)

// vectorKey is the key of the vectors: KEY[i] = (7*i+3) mod 256.
func vectorKey() *Key {
	var k Key
	for i := range k {
		k[i] = byte(7*i + 3)
	}
	return &k
}

const vectorMessage = `{"@type":"Candidates","candidates":[]}`

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// roleVectors were computed by an independent implementation from the rules of tgcalls; the acked ones also by gotd.
var roleVectors = []struct {
	role                   Role
	raw, acked, ack        string
	aesKey, counter, plain string
}{
	{
		role:    Caller,
		raw:     "0761ea84e393c1af7b3b26fc5564cd8d4e23d3b70582646821c7fa971a5f6139f5c8bdde1f9b81d5a7b857fba43b6a758fd61c83ce5dd7cbea93",
		acked:   "520b02707125433f643abbf61fe98c75eeac8bc7337674e8508c5fcbebd263cc5e3497c6d97d0236943e101adad7d446b0af4a21ab24d168728f1483e5502f",
		ack:     "cc61dae819365c80c83c23876c88e82dab985160223bd7685d59",
		aesKey:  "d3cf9d0f8d2f7020a7fa347b3f8e3c29c38b9ef24d63b2629fa2f88ffb1a53f9",
		counter: "0145496501b0335033aad3b9e49b02a2",
	},
	{
		role:    Callee,
		raw:     "8700b994e37d69c222fb2109998edc169df34569f885d71b41ab3d570c7ee324c67c59ef630226806071451e060f2662954cb515118076ddf76d",
		acked:   "9f86963b57e04c4a5ca09033f632b7524788d2421a9d8513853c77a817d683be0eb4c884fff39990bcdca7735ab66af9f5fdcbcc60dcfb035ca361dcd70fae",
		ack:     "8ef08193f045f0faa5bf34dce12cae1039a91f81eff9f12a5ea1",
		aesKey:  "0d602de3942715f392e10dd180a96c602b1d56418ff2a4ccbbce2bf3f130bf54",
		counter: "4a921f12884bbda2ccbc014f8156c43d",
	},
}

func TestVectors(t *testing.T) {
	for _, v := range roleVectors {
		t.Run(v.role.String(), func(t *testing.T) {
			peer := Callee
			if v.role == Callee {
				peer = Caller
			}
			raw := unhex(t, v.raw)

			sealed, err := NewCipher(vectorKey(), v.role, Signaling).Seal([]byte(vectorMessage))
			if err != nil || !bytes.Equal(sealed, raw) {
				t.Errorf("raw packet is %x, %v", sealed, err)
			}
			opener := NewCipher(vectorKey(), peer, Signaling)
			seq, body, err := opener.Open(raw)
			if err != nil || seq != 1 || string(body) != vectorMessage {
				t.Errorf("raw packet opens to %d %q, %v", seq, body, err)
			}
			if _, _, err := opener.Open(raw); !errors.Is(err, ErrReplay) {
				t.Errorf("second opening gives %v", err)
			}
			checkKeys(t, v.role, raw, v.aesKey, v.counter)

			sender := acked{cipher: NewCipher(vectorKey(), v.role, Signaling)}
			if err := sender.enqueue([]byte(vectorMessage)); err != nil {
				t.Fatal(err)
			}
			packet, err := sender.flush(time.Now())
			if err != nil || !bytes.Equal(packet, unhex(t, v.acked)) {
				t.Errorf("acked packet is %x, %v", packet, err)
			}

			// Ours is counter 2 and acknowledges the other side's first message.
			receiver := acked{cipher: NewCipher(vectorKey(), v.role, Signaling), acks: []uint32{seqAck | 1}}
			receiver.cipher.counter = 1
			packet, err = receiver.service(time.Now())
			if err != nil || !bytes.Equal(packet, unhex(t, v.ack)) {
				t.Errorf("ack packet is %x, %v", packet, err)
			}
			_, plain, err := NewCipher(vectorKey(), peer, Signaling).Open(packet)
			if err != nil || hex.EncodeToString(plain) != "fe40000001ff" {
				t.Errorf("ack packet opens to %x, %v", plain, err)
			}
		})
	}
}

// checkKeys compares the key and counter block of a packet by decrypting with them in the plainest way.
func checkKeys(t *testing.T, role Role, packet []byte, aesKey, counter string) {
	t.Helper()
	x := 128
	if role == Callee {
		x = 136
	}
	d := newDirection(vectorKey(), x)
	a, b := hash(packet[:16], d.a), hash(d.b, packet[:16])
	key := append(append(append([]byte{}, a[:8]...), b[8:24]...), a[24:32]...)
	iv := append(append(append([]byte{}, b[:4]...), a[8:16]...), b[24:28]...)
	if hex.EncodeToString(key) != aesKey || hex.EncodeToString(iv) != counter {
		t.Errorf("key %x, counter %x", key, iv)
	}
}

func TestTransportVector(t *testing.T) {
	packet := unhex(t, "573d808e3ae353619af29464225e2a52e87dae629a504e938ce9a97ee578b00b8226fea7c2")
	seq, body, err := NewCipher(vectorKey(), Callee, Transport).Open(packet)
	if err != nil {
		t.Fatal(err)
	}
	if seq != seqSingle|1 || body[0] != recordCustom || binary.BigEndian.Uint32(body[1:]) != uint32(len(body)-5) {
		t.Errorf("opens to %08x %x", seq, body)
	}
	plain := binary.BigEndian.AppendUint32(nil, seq)
	if sealed := newDirection(vectorKey(), 0).seal(append(plain, body...)); !bytes.Equal(sealed, packet) {
		t.Errorf("seals to %x", sealed)
	}
	for _, other := range []struct {
		role    Role
		purpose Purpose
	}{{Caller, Transport}, {Callee, Signaling}, {Caller, Signaling}} {
		if _, _, err := NewCipher(vectorKey(), other.role, other.purpose).Open(packet); !errors.Is(err, ErrAuthentication) {
			t.Errorf("opens for %v %v: %v", other.role, other.purpose, err)
		}
	}
}

func TestSCTPVectors(t *testing.T) {
	raw := unhex(t, "0761ea84e393c1af7b3b26fc5564cd8d4e23d3b70582646821c7fa971a5f6139f5c8bdde1f9b81d5a7b857fba43b6a758fd61c83ce5dd7cbea93")
	for _, v := range []struct {
		packet string
		kind   byte
		tag    uint32
	}{
		{"1388138800000000c1f20f77010000141122334400500000ffffffff01020304", chunkInit, 0},
		{"138813885566778888da416c0003004a010203040000000000000035" + hex.EncodeToString(raw) + "0000", chunkData, 0x55667788},
		{"1388138855667788f543acae03000010010203040050000000000000", chunkSack, 0x55667788},
	} {
		packet := unhex(t, v.packet)
		p, err := parseSCTP(packet)
		if err != nil || p.tag != v.tag || len(p.chunks) != 1 || p.chunks[0].kind() != v.kind {
			t.Errorf("%.24s: parsed to %+v, %v", v.packet, p, err)
			continue
		}
		if !bytes.Equal(p.bytes(), packet) {
			t.Errorf("%.24s: printed as %x", v.packet, p.bytes())
		}
		switch c := p.chunks[0]; v.kind {
		case chunkInit:
			if c.initTag() != 0x11223344 || c.engine() != PeerWeb || !bytes.Equal(c.bare(), c) {
				t.Errorf("INIT with tag %x of %v", c.initTag(), c.engine())
			}
		case chunkData:
			if c.tsn() != 0x01020304 || !c.ours() || !bytes.Equal(c[dataHeader:], raw) {
				t.Errorf("DATA with tsn %x", c.tsn())
			}
		}
		for i := range packet {
			damaged := bytes.Clone(packet)
			damaged[i] ^= 1
			if _, err := parseSCTP(damaged); err == nil {
				t.Errorf("%.24s: byte %d may be damaged", v.packet, i)
			}
		}
		zero := bytes.Clone(packet)
		clear(zero[8:12])
		if _, err := parseSCTP(zero); err == nil {
			t.Errorf("%.24s: zero checksum is taken", v.packet)
		}
	}
	if sum := sctpChecksum(append(make([]byte, 12), "123456789"...)); sum == 0 {
		t.Error("checksum is zero")
	}
}
