package signaling

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxMessage = 120 * 1024      // of what Send takes in V1 and V3; what the peer takes is 128 KiB encrypted
	maxJSON    = 2 * 1024 * 1024 // of an inflated message

	maxQueued      = 1024
	maxQueuedBytes = 8 << 20
)

// framer is how one version makes packets of messages and messages of packets. The goroutine of Run alone calls it.
type framer interface {
	send(messages [][]byte)
	receive(packet []byte)
	deadline() (at time.Time, ok bool) // when tick is to be called
	tick()
}

// channel is what all versions share: queues to and from the goroutine of Run, and the counters.
type channel struct {
	cfg    Config
	log    *slog.Logger
	cipher *Cipher  // goroutine of Run
	frame  framer   // goroutine of Run
	sctp   *carrier // V3 only, set once

	outgoing  *queue // messages from Send
	incoming  *queue // packets from Receive
	unwrapped *queue // encrypted packets that came through SCTP
	outbox    *queue // packets for Transmit

	started, closed atomic.Bool

	counters
}

// counters is what may be asked of a channel at any time.
type counters struct {
	mu    sync.Mutex
	peer  Peer
	stats Stats
}

func newChannel(cfg Config, f framing) *channel {
	c := &channel{
		cfg: cfg, log: cfg.Log, cipher: NewCipher(cfg.Key, cfg.Role, Signaling),
		outgoing: newQueue(), incoming: newQueue(),
		unwrapped: newQueue(), outbox: newQueue(),
	}
	switch f {
	case framingRaw:
		c.frame = rawFrame{c}
	case framingAcked:
		c.frame = &ackedFrame{c: c, a: acked{cipher: c.cipher}}
	case framingSCTP:
		c.sctp = newCarrier(c)
		c.frame = &sctpFrame{c: c, carrier: c.sctp}
	}
	return c
}

// Send implements Channel.
func (c *channel) Send(message []byte) error {
	limit := maxMessage
	if _, acked := c.frame.(*ackedFrame); acked {
		limit = maxAckedMessage
	}
	switch {
	case len(message) > limit:
		return ErrTooLong
	case c.closed.Load():
		return ErrClosed
	case !c.outgoing.push(bytes.Clone(message)):
		return ErrFull
	}
	return nil
}

// Receive implements Channel.
func (c *channel) Receive(packet []byte) {
	c.count(func(s *Stats) { s.PacketsReceived++ })
	switch {
	case len(packet) > maxPacketSize:
		c.drop(ErrLong)
	case c.closed.Load() || !c.incoming.push(bytes.Clone(packet)):
		c.drop(errOverflow)
	}
}

// Peer implements Channel.
func (c *counters) Peer() Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// Stats implements Channel.
func (c *counters) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Run implements Channel.
func (c *channel) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("run signaling: was run already")
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.transmit(ctx) })
	if c.sctp != nil {
		c.sctp.open()
	}
	c.loop(ctx)
	c.closed.Store(true)
	cancel()
	if c.sctp != nil {
		c.sctp.close()
	}
	wg.Wait()
	return nil
}

// loop owns cipher and framer until ctx ends.
func (c *channel) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if at, ok := c.frame.deadline(); ok {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
			return
		case <-c.outgoing.wake:
			if messages := c.outgoing.take(); len(messages) > 0 {
				c.frame.send(messages)
			}
		case <-c.incoming.wake:
			for packet := c.incoming.pop(); packet != nil && ctx.Err() == nil; packet = c.incoming.pop() {
				c.frame.receive(packet)
			}
		case <-c.unwrapped.wake:
			for packet := c.unwrapped.pop(); packet != nil && ctx.Err() == nil; packet = c.unwrapped.pop() {
				c.openRaw(packet)
			}
		case <-timer.C:
			c.frame.tick()
		}
	}
}

// transmit hands packets to Transmit until ctx ends.
func (c *channel) transmit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.outbox.wake:
		}
		for packet := c.outbox.pop(); packet != nil && ctx.Err() == nil; packet = c.outbox.pop() {
			c.count(func(s *Stats) { s.PacketsSent++ })
			c.cfg.Transmit(packet)
		}
	}
}

// post queues a packet for Transmit.
func (c *channel) post(packet []byte) {
	if !c.outbox.push(packet) {
		c.drop(errOverflow)
	}
}

// openRaw decrypts a raw packet and delivers its message.
func (c *channel) openRaw(packet []byte) bool {
	_, body, err := c.cipher.Open(packet)
	if err != nil {
		c.drop(err)
		return false
	}
	c.deliver(body)
	return true
}

// deliver inflates a message where needed and hands it to Deliver.
func (c *channel) deliver(body []byte) {
	message, err := inflate(body)
	if err != nil {
		c.drop(err)
		return
	}
	c.count(func(s *Stats) { s.MessagesReceived++ })
	c.cfg.Deliver(message)
}

// errInflate says that a message which looks like gzip is none, or inflates to more than maxJSON.
var errInflate = errors.New("message cannot be inflated")

// inflate undoes gzip where a message begins like it. All engines take messages either way.
func inflate(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, errInflate
	}
	message, err := io.ReadAll(io.LimitReader(z, maxJSON+1))
	if err != nil || len(message) > maxJSON {
		return nil, errInflate
	}
	return message, nil
}

// deflate makes gzip of a message.
func deflate(message []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(message); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (c *counters) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
}

// drop counts what was not used.
func (c *channel) drop(reason error) {
	c.count(func(s *Stats) {
		d := &s.Drops
		switch {
		case errors.Is(reason, ErrShort):
			d.Short++
		case errors.Is(reason, ErrLong):
			d.Long++
		case errors.Is(reason, ErrAuthentication):
			d.Authentication++
		case errors.Is(reason, ErrReplay):
			d.Replay++
		case errors.Is(reason, errForeign):
			d.Foreign++
		case errors.Is(reason, errInflate):
			d.Inflate++
		case errors.Is(reason, errOverflow):
			d.Overflow++
		default:
			d.Syntax++
		}
	})
	c.log.Debug("signaling packet dropped", "reason", reason)
}

// failed logs a message that could not be sent for good: it is too long, or the counters are used up.
func (c *channel) failed(err error) {
	c.log.Warn("signaling message lost", "error", err)
}

func (c *counters) setPeer(p Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != PeerUnknown {
		c.peer = p
	}
}

// rawFrame is V1: a packet per message, nothing is repeated.
type rawFrame struct{ c *channel }

func (f rawFrame) send(messages [][]byte) {
	for _, m := range messages {
		packet, err := f.c.cipher.Seal(m)
		if err != nil {
			f.c.failed(err)
			continue
		}
		f.c.count(func(s *Stats) { s.MessagesSent++ })
		f.c.post(packet)
	}
}

func (f rawFrame) receive(packet []byte)           { f.c.openRaw(packet) }
func (rawFrame) deadline() (at time.Time, ok bool) { return at, false }
func (rawFrame) tick()                             {}

// ackedFrame is V2.
type ackedFrame struct {
	c *channel
	a acked
}

func (f *ackedFrame) send(messages [][]byte) {
	for _, m := range messages {
		if err := f.a.enqueue(m); err != nil {
			f.c.failed(err)
			continue
		}
		f.c.count(func(s *Stats) { s.MessagesSent++ })
	}
	f.post(f.a.flush(time.Now()))
}

func (f *ackedFrame) receive(packet []byte) {
	r, err := f.a.receive(packet, time.Now())
	if err == nil {
		err = r.err
	}
	if err != nil {
		f.c.drop(err)
	}
	f.c.count(func(s *Stats) { s.Repeated += uint64(r.repeated) })
	for _, p := range r.packets {
		f.post(p, nil)
	}
	for _, m := range r.messages {
		f.c.deliver(m)
	}
}

func (f *ackedFrame) deadline() (time.Time, bool) { return f.a.deadline() }
func (f *ackedFrame) tick()                       { f.post(f.a.tick(time.Now())) }

func (f *ackedFrame) post(packet []byte, err error) {
	if err != nil {
		f.c.failed(err)
	}
	if packet != nil {
		f.c.post(packet)
	}
	f.c.count(func(s *Stats) { s.Resent = f.a.resent })
}
