package esl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
)

// unicastWay is the way without mod_verto: a pair of loopback channels, of which one is bridged with the party and the
// other sends and takes raw samples (sendmsg unicast). 8 kHz.
//
// Two traps of FreeSWITCH 1.10: a unicast message to a channel whose audio has not been read yet aborts the whole
// switch (assert in switch_ivr_park), and an empty datagram ends its reader for good.
type unicastWay struct {
	link *Link
	next atomic.Uint32
}

const (
	unicastRate   = 8000
	unicastBytes  = 320 // of a frame: 20 ms, 16 bit, 8 kHz
	varOtherHalf  = "other_loopback_leg_uuid"
	varCurrentApp = "current_application"
)

func (w *unicastWay) open(ctx context.Context, o opening) (media.Flow, error) {
	id := o.id
	v := w.link.verbs()
	if v.err != nil {
		return nil, v.err
	}
	u := w.link.opt.Media.Unicast
	line, _ := originate(map[string]string{"origination_uuid": id, "loopback_bowout": "false",
		"loopback_bowout_on_execute": "false", "TGTRUNK_LEG": id,
		"origination_caller_id_name": o.party.name, "origination_caller_id_number": o.party.number,
		"originate_timeout": strconv.Itoa(int(w.link.opt.RequestTimeout/time.Second) + 1)}, "loopback/"+u.Extension+"/"+u.Context+"/XML")
	if err := v.do(ctx, line); err != nil {
		return nil, fmt.Errorf("open a loopback pair to extension %s in context %s: %w", u.Extension, u.Context, err)
	}
	half, err := w.halfway(ctx, v, id)
	if err != nil {
		return nil, err
	}
	return w.connect(ctx, v.conn, half)
}

// halfway returns the other half of the pair once unicast is safe there: answered, parked, and read for a while.
func (w *unicastWay) halfway(ctx context.Context, v verbs, id string) (string, error) {
	half, err := v.variable(ctx, id, varOtherHalf)
	if err != nil || !validID(half) {
		return "", errors.Join(errors.New("the loopback channel does not name its other half"), err)
	}
	for {
		e, err := v.dump(ctx, half)
		if err != nil {
			return "", err
		}
		if e.answered() && (e.variable(varCurrentApp) == "park" || e.header["Channel-State"] == "CS_PARK") {
			break
		}
		if !pbx.Sleep(ctx, 20*time.Millisecond) {
			return "", fmt.Errorf("extension %s does not answer and park: %w", w.link.opt.Media.Unicast.Extension, ctx.Err())
		}
	}
	if !pbx.Sleep(ctx, w.link.timing.settle) {
		return "", ctx.Err()
	}
	return half, nil
}

// connect tells the channel where to send, and where it is sent to.
func (w *unicastWay) connect(ctx context.Context, conn *connection, half string) (media.Flow, error) {
	here, err := w.link.advertised(ctx)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(w.link.opt.Address)
	if err != nil {
		return nil, err
	}
	there, err := new(net.Resolver).LookupNetIP(ctx, "ip4", host) // unicast knows no IPv6
	if err != nil {
		return nil, fmt.Errorf("find freeswitch's address: %w", err)
	}
	remote := netip.AddrPortFrom(there[0].Unmap(), w.port())
	flow, err := listenUnicast(w.link.port.LocalAddr().Addr(), remote)
	if err != nil {
		return nil, err
	}
	err = conn.sendMessage(ctx, half, "call-command: unicast",
		"local-ip: "+remote.Addr().String(), "local-port: "+strconv.Itoa(int(remote.Port())),
		"remote-ip: "+here.Addr().String(), "remote-port: "+strconv.Itoa(int(flow.local().Port())), "transport: udp")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("unicast: %w", err), flow.Close())
	}
	return flow, nil
}

// port returns the next of FreeSWITCH's ports. It begins anywhere: another process may use the same range.
func (w *unicastWay) port() uint16 {
	first, last := w.link.opt.Media.Unicast.Ports[0], w.link.opt.Media.Unicast.Ports[1]
	w.next.CompareAndSwap(0, 1+rand.Uint32N(1<<16))
	return uint16(first + int(w.next.Add(1)-1)%(last-first+1))
}

// unicastFlow is raw samples in datagrams: no header, no clock; 16 bit in the byte order of FreeSWITCH's machine, which
// is little endian.
type unicastFlow struct {
	conn   datagrams
	remote netip.AddrPort
	sink   atomic.Pointer[unicastSink]
	ending context.Context // ends with Close
	end    context.CancelFunc
	done   chan struct{} // closed when the reader has ended

	mu     sync.Mutex
	closed bool
	stats  media.Stats // guarded by mu
	buffer []byte      // guarded by mu
}

type unicastSink struct{ media.Sink }

// datagrams is what a flow needs of a *net.UDPConn.
type datagrams interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	Close() error
}

func listenUnicast(here netip.Addr, remote netip.AddrPort) (*unicastFlow, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(here, 0)))
	if err != nil {
		return nil, fmt.Errorf("unicast: listen: %w", err)
	}
	return newUnicastFlow(conn, remote), nil
}

func newUnicastFlow(conn datagrams, remote netip.AddrPort) *unicastFlow {
	f := &unicastFlow{conn: conn, remote: remote, done: make(chan struct{})}
	f.ending, f.end = context.WithCancel(context.Background())
	go f.read()
	return f
}

func (f *unicastFlow) local() netip.AddrPort {
	at, err := netip.ParseAddrPort(f.conn.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}
	}
	return at
}

// Format is that of a loopback channel that was made over the API.
func (f *unicastFlow) Format() media.Format {
	return media.Format{Codec: media.L16, Rate: unicastRate, Ptime: packetTime}
}

// Attach sets where FreeSWITCH's audio goes.
func (f *unicastFlow) Attach(s media.Sink) {
	if s == nil {
		f.sink.Store(nil)
		return
	}
	f.sink.Store(&unicastSink{s})
}

// WriteAudio sends one frame. What is no whole frame would play at another speed and is dropped.
func (f *unicastFlow) WriteAudio(p *media.Packet) {
	if len(p.Payload) == 0 || len(p.Payload)%unicastBytes != 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	for payload := p.Payload; len(payload) > 0; payload = payload[unicastBytes:] {
		f.buffer = swapBytes(f.buffer[:0], payload[:unicastBytes])
		if _, err := f.conn.WriteToUDPAddrPort(f.buffer, f.remote); err != nil {
			return
		}
		if f.stats.PacketsSent++; f.stats.PacketsSent == 1 {
			f.stats.FirstSent = time.Now()
		}
	}
}

// read is the flow's goroutine. There are no timestamps: what has arrived is counted.
func (f *unicastFlow) read() {
	defer close(f.done)
	buffer := make([]byte, 1<<16)
	var packet media.Packet
	var swapped []byte
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// The echo of a datagram to a port that is gone, or something that lasts: that must not take all of a processor.
			if !pbx.Sleep(f.ending, packetTime) {
				return
			}
			continue
		}
		if from.Addr().Unmap() != f.remote.Addr() || from.Port() != f.remote.Port() || n%2 != 0 || n == 0 {
			f.mu.Lock()
			f.stats.Strangers++
			f.mu.Unlock()
			continue
		}
		f.mu.Lock()
		if f.stats.PacketsReceived++; f.stats.PacketsReceived == 1 {
			f.stats.FirstReceived = time.Now()
		}
		f.mu.Unlock()
		swapped = swapBytes(swapped[:0], buffer[:n])
		packet.Payload = swapped
		if s := f.sink.Load(); s != nil {
			s.WriteAudio(&packet)
		}
		packet.Sequence++
		packet.Timestamp += uint32(n / 2)
	}
}

// Stats returns the flow's counters.
func (f *unicastFlow) Stats() media.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close ends the flow; it must not be called from within a Sink.
func (f *unicastFlow) Close() error {
	f.mu.Lock()
	first := !f.closed
	f.closed = true
	f.mu.Unlock()
	if first {
		f.end()
		_ = f.conn.Close()
	}
	<-f.done
	return nil
}

// swapBytes appends 16-bit samples in the other byte order.
func swapBytes(out, in []byte) []byte {
	for i := 0; i+1 < len(in); i += 2 {
		out = append(out, in[i+1], in[i])
	}
	return out
}
