package signaling

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// Purpose says what a Cipher's packets carry; the two use different parts of the key.
type Purpose uint8

// The purposes of a Cipher.
const (
	Signaling Purpose = iota + 1 // packets of phone.sendSignalingData
	Transport                    // media packets where custom parameter network_use_mtproto replaces DTLS-SRTP
)

// The bits of a sequence number, the first four bytes of every plaintext, big endian.
const (
	seqSingle  uint32 = 1 << 31 // nothing follows this record
	seqAck     uint32 = 1 << 30 // receiver must acknowledge this record
	seqCounter uint32 = seqAck - 1
)

const (
	messageKeySize = 16
	seqSize        = 4
	minPacketSize  = 21         // message key, sequence number, one byte
	maxPacketSize  = 128 * 1024 // of incoming packets
	replayWindow   = 64
)

// Errors of Cipher.
var (
	ErrShort          = errors.New("packet is too short")
	ErrLong           = errors.New("packet is too long")
	ErrAuthentication = errors.New("message key does not match")
	ErrReplay         = errors.New("counter was seen before or is too old")
	ErrExhausted      = errors.New("packet counter is used up")
)

// Cipher encrypts and decrypts one direction pair of packets of one call as tgcalls' EncryptedConnection does:
// AES-256-CTR with key and counter block from a 16 byte message key, which is a hash of key and plaintext. It keeps
// the counters of both directions and is not safe for concurrent use.
type Cipher struct {
	send, receive direction
	counter       uint32 // last one used for sending
	seen          window
}

// NewCipher makes the cipher of one side. Its counters begin anew, so a call has one Cipher per purpose for its
// whole life.
func NewCipher(key *Key, role Role, purpose Purpose) *Cipher {
	base := 0
	if purpose == Signaling {
		base = 128
	}
	caller, callee := newDirection(key, base), newDirection(key, base+8)
	if role == Caller {
		return &Cipher{send: caller, receive: callee}
	}
	return &Cipher{send: callee, receive: caller}
}

// Seal encrypts a raw packet, the whole framing of V1 and the inner one of V3: counter and body, no flags.
func (c *Cipher) Seal(body []byte) ([]byte, error) {
	seq, err := c.next()
	if err != nil {
		return nil, err
	}
	plain := make([]byte, seqSize, seqSize+len(body))
	binary.BigEndian.PutUint32(plain, seq)
	return c.send.seal(append(plain, body...)), nil
}

// Open decrypts and checks a packet and returns its first sequence number, flags included, and what follows it. The
// packet is not changed. Errors are ErrShort, ErrLong, ErrAuthentication and ErrReplay.
func (c *Cipher) Open(packet []byte) (seq uint32, body []byte, err error) {
	if len(packet) < minPacketSize {
		return 0, nil, ErrShort
	}
	if len(packet) > maxPacketSize {
		return 0, nil, ErrLong
	}
	plain, ok := c.receive.open(packet)
	if !ok {
		return 0, nil, ErrAuthentication
	}
	seq = binary.BigEndian.Uint32(plain)
	if !c.seen.register(seq & seqCounter) {
		return 0, nil, ErrReplay
	}
	return seq, plain[seqSize:], nil
}

// next takes the next counter for sending.
func (c *Cipher) next() (uint32, error) {
	if c.counter == seqCounter {
		return 0, ErrExhausted
	}
	c.counter++
	return c.counter, nil
}

// direction holds what the packets of one sender use of the key, at its offset x.
type direction struct{ hash, a, b []byte }

func newDirection(key *Key, x int) direction {
	k := *key
	return direction{hash: k[88+x : 120+x], a: k[x : x+36], b: k[40+x : 76+x]}
}

// seal encrypts a plaintext that begins with its sequence number.
func (d direction) seal(plain []byte) []byte {
	key := d.messageKey(plain)
	packet := make([]byte, messageKeySize+len(plain))
	copy(packet, key[:])
	d.stream(key[:]).XORKeyStream(packet[messageKeySize:], plain)
	return packet
}

// open decrypts a packet of at least minPacketSize bytes and compares the message key in constant time.
func (d direction) open(packet []byte) (plain []byte, ok bool) {
	plain = make([]byte, len(packet)-messageKeySize)
	d.stream(packet[:messageKeySize]).XORKeyStream(plain, packet[messageKeySize:])
	key := d.messageKey(plain)
	return plain, subtle.ConstantTimeCompare(key[:], packet[:messageKeySize]) == 1
}

func (d direction) messageKey(plain []byte) (key [messageKeySize]byte) {
	h := sha256.New()
	h.Write(d.hash)
	h.Write(plain)
	copy(key[:], h.Sum(nil)[8:24])
	return key
}

func (d direction) stream(messageKey []byte) cipher.Stream {
	a, b := hash(messageKey, d.a), hash(d.b, messageKey)
	var key [32]byte
	copy(key[:8], a[:8])
	copy(key[8:24], b[8:24])
	copy(key[24:], a[24:])
	var counter [aes.BlockSize]byte
	copy(counter[:4], b[:4])
	copy(counter[4:12], a[8:16])
	copy(counter[12:], b[24:28])
	block, _ := aes.NewCipher(key[:]) // fails only for a key of another size
	return cipher.NewCTR(block, counter[:])
}

func hash(parts ...[]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// window remembers which of the 64 largest counters have been seen.
type window struct {
	largest uint32
	seen    uint64 // bit i: largest-i
}

// register reports whether counter is new and not too old, and remembers it.
func (w *window) register(counter uint32) bool {
	if counter > w.largest {
		w.seen <<= min(counter-w.largest, replayWindow)
		w.seen |= 1
		w.largest = counter
		return true
	}
	age := w.largest - counter
	if age >= replayWindow || w.seen&(1<<age) != 0 {
		return false
	}
	w.seen |= 1 << age
	return true
}
