package mtserver

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/gotd/td/mtproxy/obfuscated2"
	"github.com/gotd/td/proto/codec"
)

// maxFrame is the largest packet taken from a client, bytes. Official clients stay below 600 KB (an upload part).
const maxFrame = 1 << 20

// framing is the way packets are told apart, https://core.telegram.org/mtproto/mtproto-transports.
type framing uint8

const (
	abridged framing = iota
	intermediate
	padded
	full
)

var errFrame = errors.New("frame is broken")

// link is one transport connection: framing and, when the client wants it, obfuscation. One reader, one writer.
type link struct {
	conn    net.Conn
	framing framing
	r       *bufio.Reader
	w       *bufio.Writer
	in, out uint32 // packet numbers of full framing
}

// open finds out what the client speaks from its first bytes. The deadlines are the caller's.
func open(conn net.Conn) (*link, error) {
	l := &link{conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriter(conn)}
	head, err := l.r.Peek(1)
	if err != nil {
		return nil, fmt.Errorf("read first byte: %w", err)
	}
	if head[0] == codec.AbridgedClientStart[0] {
		return l.with(abridged, 1)
	}
	if head, err = l.r.Peek(8); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	switch first := [4]byte(head); {
	case first == codec.IntermediateClientStart:
		return l.with(intermediate, 4)
	case first == codec.PaddedIntermediateClientStart:
		return l.with(padded, 4)
	case binary.LittleEndian.Uint32(head[4:]) == 0: // number of the first packet; obfuscated headers never have it
		return l.with(full, 0)
	}
	return l.deobfuscate()
}

func (l *link) with(f framing, header int) (*link, error) {
	l.framing = f
	_, err := l.r.Discard(header)
	return l, err
}

func (l *link) deobfuscate() (*link, error) {
	rw, meta, err := obfuscated2.Accept(struct {
		io.Reader
		io.Writer
	}{l.r, l.conn}, nil)
	if err != nil {
		return nil, fmt.Errorf("accept obfuscation: %w", err)
	}
	l.r, l.w = bufio.NewReader(rw), bufio.NewWriter(rw)
	tag := codec.AbridgedClientStart[0]
	switch meta.Protocol {
	case [4]byte{tag, tag, tag, tag}:
		l.framing = abridged
	case codec.IntermediateClientStart:
		l.framing = intermediate
	case codec.PaddedIntermediateClientStart:
		l.framing = padded
	default:
		return nil, fmt.Errorf("accept obfuscation: %w: unknown protocol tag", errFrame)
	}
	return l, nil
}

// read returns the next packet, and whether the client wants a quick acknowledgement of it. Waiting for a packet ends at
// idle; a packet that has begun must be whole within part.
func (l *link) read(idle time.Time, part time.Duration) (frame []byte, quick bool, err error) {
	if err := l.conn.SetReadDeadline(idle); err != nil {
		return nil, false, err
	}
	if _, err := l.r.Peek(1); err != nil {
		return nil, false, err
	}
	if err := l.conn.SetReadDeadline(time.Now().Add(part)); err != nil {
		return nil, false, err
	}
	if l.framing == full {
		frame, err = l.readFull()
		return frame, false, err
	}
	n, quick, err := l.readLength()
	if err != nil {
		return nil, false, err
	}
	frame, err = l.readN(n)
	return frame, quick, err
}

func (l *link) readLength() (n int, quick bool, err error) {
	var head [4]byte
	if l.framing != abridged {
		if _, err := io.ReadFull(l.r, head[:]); err != nil {
			return 0, false, err
		}
		v := binary.LittleEndian.Uint32(head[:])
		return int(v &^ (1 << 31)), v>>31 != 0, nil
	}
	if _, err := io.ReadFull(l.r, head[:1]); err != nil {
		return 0, false, err
	}
	quick, n = head[0]&0x80 != 0, int(head[0]&0x7f)
	if n == 0x7f {
		if _, err := io.ReadFull(l.r, head[:3]); err != nil {
			return 0, false, err
		}
		n = int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	}
	return n * 4, quick, nil
}

// readN grows as bytes arrive, so that a length alone costs no memory.
func (l *link) readN(n int) ([]byte, error) {
	if n < 4 || n > maxFrame {
		return nil, fmt.Errorf("%w: length %d", errFrame, n)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, l.r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (l *link) readFull() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.LittleEndian.Uint32(head[:]))
	if n < 16 || n > maxFrame+12 {
		return nil, fmt.Errorf("%w: length %d", errFrame, n)
	}
	if binary.LittleEndian.Uint32(head[4:]) != l.in {
		return nil, fmt.Errorf("%w: packet number", errFrame)
	}
	l.in++
	rest, err := l.readN(n - 8)
	if err != nil {
		return nil, err
	}
	body := rest[:len(rest)-4]
	sum := crc32.Update(crc32.ChecksumIEEE(head[:]), crc32.IEEETable, body)
	if sum != binary.LittleEndian.Uint32(rest[len(body):]) {
		return nil, fmt.Errorf("%w: checksum", errFrame)
	}
	return body, nil
}

// write buffers a packet; its length is a multiple of 4. flush sends.
func (l *link) write(frame []byte) error {
	switch l.framing {
	case abridged:
		n := len(frame) / 4
		head := []byte{byte(n)}
		if n >= 0x7f {
			head = []byte{0x7f, byte(n), byte(n >> 8), byte(n >> 16)}
		}
		return l.put(head, frame)
	case full:
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(frame)+12))
		head = binary.LittleEndian.AppendUint32(head, l.out)
		l.out++
		sum := crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, frame)
		return l.put(head, frame, binary.LittleEndian.AppendUint32(nil, sum))
	case padded:
		// Up to 3 bytes: the specification allows 15, but gotd's client takes off no more than 3.
		pad := binary.LittleEndian.AppendUint32(nil, rand.Uint32())[:rand.IntN(4)]
		return l.put(binary.LittleEndian.AppendUint32(nil, uint32(len(frame)+len(pad))), frame, pad)
	default:
		return l.put(binary.LittleEndian.AppendUint32(nil, uint32(len(frame))), frame)
	}
}

// writeQuickAck answers a packet whose quick-acknowledgement bit was set; the token goes out bare.
func (l *link) writeQuickAck(token uint32) error {
	token |= 1 << 31
	if l.framing == abridged {
		return l.put(binary.BigEndian.AppendUint32(nil, token))
	}
	return l.put(binary.LittleEndian.AppendUint32(nil, token))
}

func (l *link) put(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := l.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (l *link) flush() error { return l.w.Flush() }
