package signaling

import (
	"crypto/aes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
)

// The sizes of a media packet, which custom parameter network_use_mtproto puts in the place of SRTP and DTLS (engine
// file MtProtoIceTransport).
const (
	// MediaOverhead is by how many bytes a sealed packet is longer than what it carries: message key, sequence number,
	// record type, length.
	MediaOverhead = messageKeySize + mediaHead
	// MediaRoom is the length of the buffer that SealMedia needs besides the payload.
	MediaRoom = hashSize + mediaHead

	mediaHead = seqSize + 1 + 4 // sequence number, record type, length
	hashSize  = 32              // of the key, in front of what the message key is a hash of
)

// MediaCipher encrypts and decrypts the media packets of one call: RTP, RTCP and the SCTP of the data channel. It is a
// Cipher of purpose Transport that works in buffers of its own. One goroutine at a time may seal, another one open.
type MediaCipher struct {
	Cipher
	scratch          []byte // the packet in hand, decrypted
	sealing, opening counterMode
}

// NewMediaCipher makes the cipher of one side, for the whole call.
func NewMediaCipher(key *Key, role Role) *MediaCipher {
	return &MediaCipher{Cipher: *NewCipher(key, role, Transport)}
}

// SealMedia encrypts a payload of n bytes that lies in buf at MediaRoom, and returns the packet, which is a part of
// buf. The error is ErrExhausted. buf must have MediaRoom+n bytes.
func (c *MediaCipher) SealMedia(buf []byte, n int) ([]byte, error) {
	seq, err := c.next()
	if err != nil {
		return nil, err
	}
	buf = buf[:MediaRoom+n]
	plain := buf[hashSize:]
	binary.BigEndian.PutUint32(plain, seq|seqSingle)
	plain[seqSize] = recordCustom
	binary.BigEndian.PutUint32(plain[seqSize+1:], uint32(n))
	copy(buf, c.send.hash)
	sum := sha256.Sum256(buf)
	packet := buf[hashSize-messageKeySize:]
	copy(packet, sum[8:24])
	c.sealing.apply(c.send, packet, plain, plain)
	return packet, nil
}

// OpenMedia decrypts and checks a packet, which is not changed, and returns its records. They are valid until the next
// call. Errors are ErrShort, ErrLong, ErrAuthentication and ErrReplay.
func (c *MediaCipher) OpenMedia(packet []byte) (MediaRecords, error) {
	if len(packet) < minPacketSize {
		return MediaRecords{}, ErrShort
	}
	if len(packet) > maxPacketSize {
		return MediaRecords{}, ErrLong
	}
	if need := hashSize + len(packet) - messageKeySize; cap(c.scratch) < need {
		c.scratch = make([]byte, max(need, 2048))
	} else {
		c.scratch = c.scratch[:need]
	}
	buf := c.scratch[:hashSize+len(packet)-messageKeySize]
	plain := buf[hashSize:]
	copy(buf, c.receive.hash)
	c.opening.apply(c.receive, packet, plain, packet[messageKeySize:])
	sum := sha256.Sum256(buf)
	if subtle.ConstantTimeCompare(sum[8:24], packet[:messageKeySize]) != 1 {
		return MediaRecords{}, ErrAuthentication
	}
	if !c.seen.register(binary.BigEndian.Uint32(plain) & seqCounter) {
		return MediaRecords{}, ErrReplay
	}
	return MediaRecords{rest: plain}, nil
}

// MediaRecords are the records of a media packet. The engines put one in each, but the framing allows for more.
type MediaRecords struct {
	rest  []byte
	later bool // not the first one any more
}

// Next returns the payload of the next record; ok is false at the end and at what is no record.
func (r *MediaRecords) Next() (payload []byte, ok bool) {
	for len(r.rest) > seqSize {
		seq, kind, body := binary.BigEndian.Uint32(r.rest), r.rest[seqSize], r.rest[seqSize+1:]
		switch {
		case kind == recordEmpty && !r.later, kind == recordAck && r.later:
			r.rest, r.later = body, true
			continue
		case kind != recordCustom || len(body) < 4:
			r.rest = nil
			return nil, false
		}
		n, body := binary.BigEndian.Uint32(body), body[4:]
		if uint64(n) > uint64(len(body)) || seq&seqSingle != 0 && (r.later || int(n) != len(body)) {
			r.rest = nil
			return nil, false
		}
		r.rest, r.later = body[n:], true
		return body[:n:n], true
	}
	return nil, false
}

// counterMode is AES-256-CTR with a key and a counter for every packet. It does what direction.stream does without its
// buffers: only Go's AES allocates, once for every key.
type counterMode struct{ counter, pad [aes.BlockSize]byte }

// apply encrypts or decrypts from into to with the message key that packet begins with.
func (m *counterMode) apply(d direction, packet, to, from []byte) {
	var buf [36 + messageKeySize]byte
	copy(buf[:], packet[:messageKeySize])
	copy(buf[messageKeySize:], d.a)
	a := sha256.Sum256(buf[:])
	copy(buf[:], d.b)
	copy(buf[36:], packet[:messageKeySize])
	b := sha256.Sum256(buf[:])
	copy(m.counter[:4], b[:4])
	copy(m.counter[4:12], a[8:16])
	copy(m.counter[12:], b[24:28])
	copy(a[8:24], b[8:24])
	block, _ := aes.NewCipher(a[:]) // fails only for a key of another size
	for len(from) > 0 {
		block.Encrypt(m.pad[:], m.counter[:])
		n := subtle.XORBytes(to, from, m.pad[:])
		to, from = to[n:], from[n:]
		for i := aes.BlockSize - 1; i >= 0; i-- {
			if m.counter[i]++; m.counter[i] != 0 {
				break
			}
		}
	}
}
