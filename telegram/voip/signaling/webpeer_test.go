package signaling

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// webPeer is SCTP as the web engines have it: no timers, no retransmission, one chunk per packet, INIT repeated only
// with new payload and only while there was none from the other side, and a weakness: an INIT or INIT ACK at any time
// sets the expected TSN, while the own numbers go on.
type webPeer struct {
	out    func([]byte)
	cipher *Cipher

	mu       sync.Mutex
	up       bool
	tag      uint32
	peerTag  uint32 // 0: not known
	tsn      uint32
	ssn      uint16
	expected uint32
	early    map[uint32][]byte
	cookie   []byte
	cookies  uint32    // made so far: each INIT gets another one, and only the latest is taken back
	stale    int       // former ones that came back
	initAt   time.Time // zero: none sent
	retries  int
	queue    [][]byte
	got      []string
	broken   []string // what it would have dropped silently
	answered int      // INIT ACK that came
	heard    bool     // DATA has come in this association
	late     int      // INIT and INIT ACK after that, each of which may be the end of the call
	largest  uint32   // sequence number of the cipher
}

func newWebPeer(role Role, out func([]byte)) *webPeer {
	return &webPeer{
		out: out, cipher: NewCipher(vectorKey(), role, Signaling),
		tag: 0x01020304, tsn: 1000, early: map[uint32][]byte{},
	}
}

func (w *webPeer) send(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, _ := deflate([]byte(message))
	packet, _ := w.cipher.Seal(body)
	w.queue = append(w.queue, packet)
	retry := min(time.Second<<max(w.retries-1, 0), 8*time.Second)
	switch {
	case w.up:
		w.flush()
	case w.initAt.IsZero(), w.peerTag == 0 && time.Since(w.initAt) >= retry:
		w.initAt = time.Now()
		w.retries++
		w.emit(0, w.init(chunkInit))
	}
}

func (w *webPeer) init(kind byte) sctpChunk {
	c := sctpChunk{kind, 0, 0, initHeader}
	c = binary.BigEndian.AppendUint32(c, w.tag)
	c = binary.BigEndian.AppendUint32(c, 0x500000)
	c = binary.BigEndian.AppendUint32(c, 0xffffffff)
	return binary.BigEndian.AppendUint32(c, w.tsn)
}

func (w *webPeer) emit(tag uint32, c sctpChunk) {
	w.out(sctpPacket{tag: tag, chunks: []sctpChunk{c}}.bytes())
}

func (w *webPeer) flush() {
	for _, m := range w.queue {
		c := sctpChunk{chunkData, 3, 0, 0}
		binary.BigEndian.PutUint16(c[2:], uint16(dataHeader+len(m)))
		c = binary.BigEndian.AppendUint32(c, w.tsn)
		c = binary.BigEndian.AppendUint16(c, 0)
		c = binary.BigEndian.AppendUint16(c, w.ssn)
		c = binary.BigEndian.AppendUint32(c, sctpBinary)
		w.emit(w.peerTag, append(c, m...))
		w.tsn++
		w.ssn++
	}
	w.queue = nil
}

func (w *webPeer) receive(raw []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, err := parseSCTP(raw)
	if err != nil {
		w.broken = append(w.broken, fmt.Sprintf("%x: %v", raw, err))
		return
	}
	for _, c := range p.chunks {
		if c.kind() == chunkInit && (p.tag != 0 || len(p.chunks) > 1) || c.kind() != chunkInit && p.tag != w.tag {
			w.broken = append(w.broken, fmt.Sprintf("chunk %d with tag %x", c.kind(), p.tag))
			return
		}
		w.chunk(c)
	}
}

func (w *webPeer) chunk(c sctpChunk) {
	switch c.kind() {
	case chunkInit:
		w.meet(c)
		if w.initAt.IsZero() {
			w.initAt = time.Now()
		}
		w.cookies++
		w.cookie = binary.BigEndian.AppendUint32([]byte("0123456789ab"), w.cookies)
		ack := append(w.init(chunkInitAck), 0, paramCookie, 0, 20)
		ack = append(ack, w.cookie...)
		ack[3] = byte(len(ack))
		w.emit(w.peerTag, ack)
	case chunkInitAck:
		w.answered++
		w.meet(c)
		c.params(func(kind int, value []byte) {
			if kind == paramCookie {
				w.emit(w.peerTag, append(sctpChunk{chunkCookieEcho, 0, 0, byte(4 + len(value))}, value...))
			}
		})
	case chunkCookieEcho:
		if !bytes.Equal(c[4:], w.cookie) {
			w.stale++
			return
		}
		w.emit(w.peerTag, sctpChunk{chunkCookieAck, 0, 0, 4})
		w.established()
	case chunkCookieAck, chunkSack:
		w.established()
	case chunkData:
		w.data(c)
	case chunkAbort:
		w.broken = append(w.broken, "aborted")
	case chunkHeartbeat:
		w.emit(w.peerTag, append(sctpChunk{chunkHeartbeat + 1}, c[1:]...))
	default: // I-DATA would be dropped; FORWARD TSN, RE-CONFIG and SHUTDOWN have no effect on a web engine
		w.broken = append(w.broken, fmt.Sprintf("chunk of type %d", c.kind()))
	}
}

func (w *webPeer) meet(c sctpChunk) {
	if w.peerTag != c.initTag() {
		w.heard = false
	} else if w.heard {
		w.late++
	}
	w.peerTag, w.expected = c.initTag(), c.initTSN()
}

func (w *webPeer) established() {
	w.up = true
	w.flush()
}

func (w *webPeer) data(c sctpChunk) {
	if !c.ours() || c[1]&3 != 3 {
		w.broken = append(w.broken, "foreign DATA")
		return
	}
	w.heard = w.heard || c.tsn() == w.expected
	w.early[c.tsn()] = bytes.Clone(c[dataHeader:])
	for w.early[w.expected] != nil {
		w.established()
		seq, body, err := w.cipher.Open(w.early[w.expected])
		if err == nil {
			if seq == 0 || seq&^seqCounter != 0 || seq <= w.largest {
				w.broken = append(w.broken, fmt.Sprintf("sequence number %#x after %#x", seq, w.largest))
			}
			w.largest = max(w.largest, seq)
			text, _ := inflate(body)
			w.got = append(w.got, string(text))
		}
		delete(w.early, w.expected)
		w.expected++
	}
	sack := sctpChunk{chunkSack, 0, 0, 16}
	sack = binary.BigEndian.AppendUint32(sack, w.expected-1)
	w.emit(w.peerTag, append(sack, 0, 0x50, 0, 0, 0, 0, 0, 0))
}

func (w *webPeer) received() ([]string, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.got...), append([]string(nil), w.broken...)
}

// reset forgets the association and keeps the cipher, with or without an ABORT.
func (w *webPeer) reset(abort bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if abort {
		w.emit(w.peerTag, sctpChunk{chunkAbort, 0, 0, 4})
	}
	w.up, w.peerTag, w.initAt, w.retries, w.heard = false, 0, time.Time{}, 0, false
	w.ssn, w.tsn, w.queue, w.early = 0, 5000, nil, map[uint32][]byte{}
	w.tag++
}
