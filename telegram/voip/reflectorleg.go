package voip

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// The pace of hellos is the official engine's.
const (
	helloEager   = 500 * time.Millisecond // until the reflector answers
	helloSteady  = 10 * time.Second       // from then on: the reflector, and NATs on the way, forget who is silent
	legDial      = 5 * time.Second
	legPause     = time.Second // before a broken connection is tried again; doubled
	legPauseMost = 10 * time.Second
	legQueue     = 64 // packets waiting for a TCP connection
	legErrors    = 64 // failures in a row after which a socket is opened anew
)

var errFrame = errors.New("reflector sent a frame of impossible length")

// leg is our way to one reflector: a UDP socket or a TCP connection of this call's own, with a random tag that the
// peer sends to. The tag is kept for the whole call, over broken connections and restarts of ICE.
type leg struct {
	server string // host:port
	tcp    bool
	tag    reflectorTag
	local  end
	wait   time.Duration // before it begins
	steady time.Duration // between hellos once the reflector has answered, over TCP from the first on
	rivals []*leg        // it stays away when one of these works
	take   func(b []byte)
	log    *slog.Logger

	ready chan struct{} // closed when the reflector has answered
	once  sync.Once

	mu      sync.Mutex
	carrier func(packet []byte) // nil while there is no connection; keeps nothing of the packet
	buf     []byte
	face    *allocation // what the ICE agent sees; nil until it has asked
	asked   uint64      // numbers the agent's requests for a face
	shown   uint64      // the one that face is for
}

// run carries the leg until ctx ends.
func (l *leg) run(ctx context.Context) {
	if !pause(ctx, l.wait) || l.spare() {
		return
	}
	next := legPause
	for {
		began := time.Now()
		err := l.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		l.log.Debug("connection to reflector has failed", "err", err)
		if time.Since(began) > legPauseMost {
			next = legPause
		}
		if !pause(ctx, next) {
			return
		}
		next = min(2*next, legPauseMost)
	}
}

// pause waits; false says that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *leg) spare() bool {
	for _, r := range l.rivals {
		select {
		case <-r.ready:
			return true
		default:
		}
	}
	return false
}

// connect opens one connection and carries it until it fails.
func (l *leg) connect(ctx context.Context) error {
	network, carry := "udp", l.carryUDP
	if l.tcp {
		network, carry = "tcp", l.carryTCP
	}
	conn, err := (&net.Dialer{Timeout: legDial}).DialContext(ctx, network, l.server)
	if err != nil {
		return fmt.Errorf("connect to reflector: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer l.carried(nil)
	return carry(conn)
}

// carryUDP sends hellos and takes what comes, in one goroutine: the next hello is the reader's deadline. A packet that
// cannot be sent is lost, as packets are.
func (l *leg) carryUDP(conn net.Conn) error {
	l.carried(func(packet []byte) { _, _ = conn.Write(packet) })
	hello := l.tag.hello(l.local.tag)
	buf := make([]byte, reflectedMax)
	answered, failed := false, 0
	var due time.Time
	for {
		if now := time.Now(); !now.Before(due) {
			_, _ = conn.Write(hello)
			every := l.steady
			if !answered {
				every = helloEager
			}
			due = now.Add(every)
			_ = conn.SetReadDeadline(due)
		}
		n, err := conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			if failed++; errors.Is(err, net.ErrClosed) || failed == legErrors {
				return fmt.Errorf("read from reflector: %w", err)
			}
		default:
			failed = 0
			if l.receive(buf[:n]) && !answered {
				answered, due = true, time.Now().Add(l.steady)
				_ = conn.SetReadDeadline(due)
				l.answered()
			}
		}
	}
}

// carryTCP takes what comes; another goroutine writes. On TCP the reflector need not answer.
func (l *leg) carryTCP(conn net.Conn) error {
	queue, done := make(chan []byte, legQueue), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { l.writeTCP(conn, queue, done) })
	defer writer.Wait()
	defer conn.Close()
	defer close(done)
	l.carried(func(packet []byte) {
		select {
		case queue <- append([]byte(nil), packet...):
		default: // lost, as packets are
		}
	})
	l.answered()
	in := bufio.NewReaderSize(conn, reflectedMax)
	buf := make([]byte, reflectedMax)
	for {
		n, err := readFrame(in, buf)
		if err != nil {
			return err
		}
		l.receive(buf[:n])
	}
}

// readFrame reads one packet of a TCP connection into buf.
func readFrame(in io.Reader, buf []byte) (int, error) {
	if _, err := io.ReadFull(in, buf[:reflectorFrame]); err != nil {
		return 0, fmt.Errorf("read from reflector: %w", err)
	}
	n := binary.LittleEndian.Uint32(buf)
	if n == 0 || n > uint32(len(buf)) {
		return 0, fmt.Errorf("%w: %d", errFrame, n)
	}
	if _, err := io.ReadFull(in, buf[:n]); err != nil {
		return 0, fmt.Errorf("read from reflector: %w", err)
	}
	return int(n), nil
}

func (l *leg) writeTCP(conn net.Conn, queue <-chan []byte, done <-chan struct{}) {
	defer conn.Close() // ends the reader
	every := time.NewTicker(l.steady)
	defer every.Stop()
	hello := l.tag.helloTCP(l.local.tag)
	frame := append([]byte(reflectorOpened), frameOf(hello)...)
	for {
		_ = conn.SetWriteDeadline(time.Now().Add(helloSteady))
		if _, err := conn.Write(frame); err != nil {
			return
		}
		select {
		case packet := <-queue:
			frame = frameOf(packet)
		case <-every.C:
			frame = frameOf(hello)
		case <-done:
			return
		}
	}
}

func frameOf(packet []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(packet))), packet...)
}

func (l *leg) answered() { l.once.Do(func() { close(l.ready) }) }

func (l *leg) carried(by func([]byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.carrier = by
}

// send sends a packet to the peer's end with that tag.
func (l *leg) send(to uint32, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.carrier == nil || len(payload) > maxPacket {
		return
	}
	l.buf = l.tag.appendData(l.buf[:0], to, l.local.tag, payload)
	l.carrier(l.buf)
}

// receive takes a packet of the reflector and says whether it was for us. Checks go to the ICE agent, everything else
// straight to the call.
func (l *leg) receive(b []byte) bool {
	from, payload, ours := l.tag.read(b)
	_, _, check := stunHeader(payload)
	switch {
	case !ours || payload == nil:
	case !check:
		l.take(payload)
	default:
		l.mu.Lock()
		face := l.face
		l.mu.Unlock()
		if face != nil {
			face.deliver(payload, l.peer(from).address())
		}
	}
	return ours
}

// peer is the peer's end with a tag, as seen from this leg.
func (l *leg) peer(tag uint32) end { return end{id: l.local.id, tag: tag, port: l.local.port} }

// reaches says whether an end is one of the same reflector.
func (l *leg) reaches(e end) bool { return e == l.peer(e.tag) }

// ask begins to wait for a face; later ones replace earlier ones, in the order they were asked for.
func (l *leg) ask() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return l.asked
}

func (l *leg) attach(a *allocation, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > l.shown {
		l.face, l.shown = a, number
	}
}

func (l *leg) detach(a *allocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.face == a {
		l.face = nil
	}
}

// reflectedPath is where media goes: to an end of the peer's through a leg.
type reflectedPath struct {
	leg *leg
	to  uint32
}

func (p reflectedPath) Write(b []byte) (int, error) {
	p.leg.send(p.to, b)
	return len(b), nil
}
