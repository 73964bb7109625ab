package voip

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
)

// road is a way between two engines that loses packets and can give either of them another address, as a NAT does. Each
// side sees the other one at a socket of the road; the candidates they signal are edited accordingly.
type road struct {
	t       *testing.T
	running sync.WaitGroup

	mu     sync.Mutex
	loss   float64
	random *rand.Rand
	closed bool
	ends   [2]roadEnd // of the caller and the callee
	passed int
}

// roadEnd is one side as the other one sees it.
type roadEnd struct {
	at   *net.UDPAddr // where the side really is; nil until it has sent something
	conn *net.UDPConn // what the other side sees
	old  []*net.UDPConn
}

func newRoad(t *testing.T, loss float64, seed uint64) *road {
	r := &road{t: t, loss: loss, random: rand.New(rand.NewPCG(seed, 11))}
	for i := range r.ends {
		r.open(i)
	}
	t.Cleanup(func() {
		r.mu.Lock()
		r.closed = true
		for _, e := range r.ends {
			for _, c := range append(e.old, e.conn) {
				c.Close()
			}
		}
		r.mu.Unlock()
		r.running.Wait()
	})
	return r
}

// open gives a side the address under which the other one sees it.
func (r *road) open(side int) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.t.Fatal(err)
	}
	e := &r.ends[side]
	if e.conn != nil {
		e.old = append(e.old, e.conn)
	}
	e.conn = conn
	r.running.Go(func() { r.carry(side, conn) })
}

// carry brings what arrives at one socket to the side it stands for: it is from the other side.
func (r *road) carry(side int, conn *net.UDPConn) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFromUDP(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return
		}
		r.ends[1-side].at = from
		// What goes to an address that the side has left is lost.
		if to := r.ends[side].at; to != nil && conn == r.ends[side].conn && r.random.Float64() >= r.loss {
			r.passed++
			_, _ = r.ends[1-side].conn.WriteToUDP(b[:n], to)
		}
		r.mu.Unlock()
	}
}

// move gives a side another address, as the other side sees it.
func (r *road) move(side int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open(side)
}

var hostCandidate = regexp.MustCompile(`127\.0\.0\.1 \d+ typ host`)

// patient is prepare for sides that soon notice a silence and do not soon give up.
func (r *road) patient(caller, callee *Engine) {
	r.prepare(caller, callee)
	for _, e := range []*Engine{caller, callee} {
		quick(e)
		e.times.failed = 5 * time.Second
	}
}

// prepare lets the candidates of both sides lead to the road.
func (r *road) prepare(caller, callee *Engine) {
	for i, e := range []*Engine{caller, callee} {
		e.signal.channel = &spyChannel{Channel: e.signal.channel, edit: func(m []byte) []byte {
			if !bytes.Contains(m, []byte(`"Candidates"`)) && !bytes.Contains(m, []byte(`"candidate"`)) {
				return m
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if found := hostCandidate.Find(m); found != nil && r.ends[i].at == nil {
				var port int
				_, _ = fmt.Sscanf(string(found), "127.0.0.1 %d", &port)
				r.ends[i].at = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
			}
			return hostCandidate.ReplaceAll(m, fmt.Appendf(nil, "127.0.0.1 %d typ host", r.ends[i].conn.LocalAddr().(*net.UDPAddr).Port))
		}}
	}
}

// talk writes audio of 20 ms packets at both ends until stop is called.
func (p *pair) talk(t *testing.T) (up, down *recorder, stop func()) {
	t.Helper()
	up, down = newRecorder(), newRecorder()
	p.callee.Flow().Attach(up)
	p.caller.Flow().Attach(down)
	end := make(chan struct{})
	var running sync.WaitGroup
	for _, s := range []*side{p.caller, p.callee} {
		running.Go(func() {
			tick := newTicker()
			defer tick.Stop()
			for i := uint32(0); ; i++ {
				select {
				case <-end:
					return
				case <-tick.C:
					s.Flow().WriteAudio(&media.Packet{Sequence: uint16(i), Timestamp: i * 960, Marker: i == 0, Payload: fmt.Appendf(nil, "%v %d", s.c.Role, i)})
				}
			}
		})
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			close(end)
			running.Wait()
		})
	}
	t.Cleanup(stop)
	return up, down, stop
}

// more waits until a recorder has got n packets more.
func (r *recorder) more(t *testing.T, n int, what string) {
	t.Helper()
	have := len(r.all())
	until(t, audioWait, fmt.Sprintf("%s: %d packets more", what, n), func() bool { return len(r.all()) >= have+n })
}

// loseSignaling drops a share of both sides' signalling packets: one of every row of 1/share, in a random place, so that
// something is lost of a short set-up, too. It returns how many have been.
func (p *pair) loseSignaling(share float64, seed uint64) (lost *atomic.Int64) {
	lost = new(atomic.Int64)
	if share <= 0 {
		return lost
	}
	row := int(math.Round(1 / share))
	for i, s := range []*side{p.caller, p.callee} {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		n, unlucky := 0, 0
		s.out.tap = func([]byte) bool { // called in order
			if n%row == 0 {
				unlucky = n + random.IntN(row)
			}
			if n == 0 { // short calls lose one, too
				unlucky %= 3
			}
			n++
			if n-1 != unlucky {
				return true
			}
			lost.Add(1)
			return false
		}
	}
	return lost
}

// losing says of packets in any order, from any goroutine, whether they are lost, which a share of them is.
func losing(share float64, seed uint64) func(netip.AddrPort) bool {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 17))
	return func(netip.AddrPort) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64() < share
	}
}

// lose changes the share of packets that is lost.
func (r *road) lose(share float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loss = share
}
