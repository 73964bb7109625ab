package signaling

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"
)

// datagrams is a net.Conn of whole packets for a bare association.
type datagrams struct {
	net.Conn
	in   chan []byte
	out  func([]byte)
	done chan struct{}
	once sync.Once
}

func newDatagrams(out func([]byte)) *datagrams {
	return &datagrams{in: make(chan []byte, 1000), out: out, done: make(chan struct{})}
}

func (d *datagrams) Read(b []byte) (int, error) {
	select {
	case p := <-d.in:
		return copy(b, p), nil
	case <-d.done:
		return 0, io.EOF
	}
}

func (d *datagrams) Write(b []byte) (int, error) {
	select {
	case <-d.done:
		return 0, io.EOF
	default:
		d.out(append([]byte(nil), b...))
		return len(b), nil
	}
}

func (d *datagrams) Close() error {
	d.once.Do(func() { close(d.done) })
	return nil
}
func (d *datagrams) SetReadDeadline(time.Time) error  { return nil }
func (d *datagrams) SetWriteDeadline(time.Time) error { return nil }

// enginePeer is an engine that is strictly an SCTP client or server, with its own cipher.
type enginePeer struct {
	conn   *datagrams
	cipher *Cipher
	assoc  *sctp.Association
	stream *sctp.Stream
	mu     sync.Mutex
	got    []string
}

func newEnginePeer(role Role, out func([]byte)) *enginePeer {
	return &enginePeer{conn: newDatagrams(out), cipher: NewCipher(vectorKey(), role, Signaling)}
}

// run shakes hands, sends count messages and reads until the connection is closed.
func (e *enginePeer) run(t *testing.T, client bool, count int) {
	config := sctp.Config{
		NetConn: e.conn, RTOMax: 1000,
		LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled},
	}
	var err error
	if client {
		e.assoc, err = sctp.Client(config) //nolint:staticcheck // the plainest association there is
	} else {
		e.assoc, err = sctp.Server(config) //nolint:staticcheck // likewise
	}
	if err != nil {
		t.Errorf("peer: %v", err)
		return
	}
	e.stream, err = e.assoc.OpenStream(0, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		t.Errorf("peer: %v", err)
		return
	}
	for i := range count {
		body, _ := deflate([]byte(message(i)))
		packet, _ := e.cipher.Seal(body)
		if _, err := e.stream.WriteSCTP(packet, sctp.PayloadTypeWebRTCBinary); err != nil {
			t.Errorf("peer: %v", err)
		}
	}
	buffer := make([]byte, 65536)
	for {
		n, err := e.stream.Read(buffer)
		if err != nil {
			return
		}
		_, body, err := e.cipher.Open(buffer[:n])
		if err != nil {
			t.Errorf("peer: %v", err)
			continue
		}
		text, err := inflate(body)
		if err != nil {
			t.Errorf("peer: %v", err)
		}
		e.mu.Lock()
		e.got = append(e.got, string(text))
		e.mu.Unlock()
	}
}

func (e *enginePeer) received() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.got...)
}

// TestHandshakes: a Channel of either role against an engine that is strictly client, strictly server, or (as a
// callee) starts with its own INIT only after the first packet from the caller.
func TestHandshakes(t *testing.T) {
	const count = 10
	for _, c := range []struct {
		name         string
		role         Role
		peerIsClient bool
		late         bool // the peer begins with the first packet, or some time after us
		loss         float64
	}{
		{"caller, strict server", Caller, false, false, 0},
		{"caller, both send INIT", Caller, true, false, 0},
		{"caller, peer sends INIT after the first packet", Caller, true, true, 0},
		{"callee, strict client", Callee, true, false, 0},
		{"callee, strict client comes late", Callee, true, true, 0},
		{"caller, strict server, loss", Caller, false, false, 0.2},
		{"caller, both send INIT, loss", Caller, true, false, 0.2},
		{"caller, peer sends INIT after the first packet, loss", Caller, true, true, 0.2},
		{"callee, strict client, loss", Callee, true, false, 0.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(15) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					n := &network{delay: 30 * time.Millisecond, loss: c.loss, random: rand.New(rand.NewPCG(seed, 3))}
					if c.loss > 0 {
						n.jitter = 100 * time.Millisecond
					}
					s := &side{}
					first := make(chan struct{})
					var once sync.Once
					e := newEnginePeer(other(c.role), func(p []byte) { n.carry(ctx, p, func(p []byte) { s.Receive(p) }, nil) })
					s.Channel = open(t, c.role, s.deliver, func(p []byte) {
						n.carry(ctx, p, func(p []byte) {
							once.Do(func() { close(first) })
							e.conn.in <- p
						}, nil)
					})
					var wg sync.WaitGroup
					wg.Go(func() { _ = s.Run(ctx) })
					wg.Go(func() {
						switch {
						case c.late && c.role == Caller:
							<-first
						case c.late:
							time.Sleep(17 * time.Second)
						}
						e.run(t, c.peerIsClient, count)
					})
					for i := range count {
						if err := s.Send([]byte(message(i))); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(90 * time.Second)
					wantAll(t, fmt.Sprintf("seed %d: channel", seed), s.received(), count)
					wantAll(t, fmt.Sprintf("seed %d: peer", seed), e.received(), count)
					if stats := s.Stats(); c.loss == 0 && stats.Associations != 1 {
						t.Errorf("stats are %+v", stats)
					}
					cancel()
					e.conn.Close()
					wg.Wait()
				})
			}
		})
	}
}

func open(t *testing.T, role Role, deliver, transmit func([]byte)) Channel {
	t.Helper()
	c, err := Open(Config{Version: "13.0.0", Role: role, Key: vectorKey(), Deliver: deliver, Transmit: transmit})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
