package voip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestWrongFingerprintFails(t *testing.T) {
	for _, liar := range []Role{signaling.Caller, signaling.Callee} {
		t.Run(liar.String(), func(t *testing.T) {
			other, err := newIdentity()
			if err != nil {
				t.Fatal(err)
			}
			nets := [2]*Net{loopbackNet(t, 1), loopbackNet(t, 1)}
			real := nets[liar-signaling.Caller].identity.fingerprint
			p := newPair(t, pairOptions{callerNet: nets[0], calleeNet: nets[1], prepare: func(a, b *Engine) {
				e := map[Role]*Engine{signaling.Caller: a, signaling.Callee: b}[liar]
				e.signal.channel = &spyChannel{Channel: e.signal.channel, edit: func(m []byte) []byte {
					return bytes.ReplaceAll(m, []byte(real), []byte(other.fingerprint))
				}}
			}})
			deceived := p.callee
			if liar == signaling.Callee {
				deceived = p.caller
			}
			awaitState(t, deceived.Engine, 10*time.Second, Failed)
			if err := <-deceived.done; !errors.Is(err, ErrFingerprint) {
				t.Errorf("run returned %v", err)
			}
			deceived.done <- nil
		})
	}
}

// TestStrangers sends all kinds of foreign packets into a running call.
func TestStrangers(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	p.exchange(t, "before")
	var to = p.callee.c.Net.shards[0]
	caller := p.caller.c.Net.shards[0].socket
	sink := newRecorder()
	p.callee.Flow().Attach(sink)

	t.Run("unknown address", func(t *testing.T) {
		c, err := net.Dial("udp", to.socket.local.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		before := to.strangers.Load()
		packets := [][]byte{{0x80, 111, 0, 1}, {22, 254, 253}, {0}, {1, 2, 3}, bytes.Repeat([]byte{0x90}, 200), {255}}
		for _, b := range packets {
			c.Write(b)
		}
		until(t, 5*time.Second, "strangers counted", func() bool { return to.strangers.Load() == before+uint64(len(packets)) })
	})

	rtp := func(ssrc uint32, payload byte) []byte {
		b := make([]byte, 60)
		b[0], b[1] = 0x80, payload
		binary.BigEndian.PutUint16(b[2:], p.caller.flow.out.number.newest+1)
		binary.BigEndian.PutUint32(b[8:], ssrc)
		return b
	}
	known := p.callee.flow.in.ssrc.Load()
	for name, b := range map[string][]byte{
		"unknown ssrc":   rtp(known+1, 111),
		"not authentic":  rtp(known, 111),
		"cut off":        rtp(known, 111)[:13],
		"report, forged": {0x80, 201, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28},
	} {
		t.Run(name, func(t *testing.T) {
			before := p.callee.Stats().Media.Strangers
			if err := caller.write(b, to.socket.local); err != nil {
				t.Fatal(err)
			}
			until(t, 5*time.Second, "stranger counted", func() bool { return p.callee.Stats().Media.Strangers == before+1 })
		})
	}
	t.Run("replayed", func(t *testing.T) {
		var copied []byte
		p.caller.flow.out.mu.Lock()
		direct := p.caller.flow.out.path.Load()
		p.caller.flow.out.path.Store(&path{relay: writerFunc(func(b []byte) (int, error) {
			if b[0] >= 128 && !isRTCP(b) {
				copied = append([]byte(nil), b...)
			}
			return direct.socket.conn.WriteToUDPAddrPort(b, direct.to)
		})})
		p.caller.flow.out.mu.Unlock()
		p.caller.Flow().WriteAudio(&media.Packet{Timestamp: 96_000, Payload: []byte("once")})
		p.caller.flow.out.path.Store(direct)
		sink.wait(t, 1)
		before := p.callee.Stats().Media.Strangers
		for range 3 {
			if err := caller.write(copied, to.socket.local); err != nil {
				t.Fatal(err)
			}
		}
		until(t, 5*time.Second, "replays counted", func() bool { return p.callee.Stats().Media.Strangers == before+3 })
		if got := sink.all(); len(got) != 1 || string(got[0].Payload) != "once" {
			t.Errorf("sink got %v", got)
		}
	})
	t.Run("wrong payload type", func(t *testing.T) {
		p.caller.flow.permit(96)
		defer p.caller.flow.permit(111)
		before := p.callee.Stats().Media.Strangers
		p.caller.Flow().WriteAudio(&media.Packet{Payload: []byte("other")})
		until(t, 5*time.Second, "stranger counted", func() bool { return p.callee.Stats().Media.Strangers == before+1 })
	})
	p.exchange(t, "after")
	awaitNone(t, p.callee.Engine)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// awaitNone checks that the engine reports nothing more.
func awaitNone(t *testing.T, e *Engine) {
	t.Helper()
	for {
		select {
		case ev := <-e.Events():
			if _, ok := ev.(PeerMediaState); !ok {
				t.Errorf("unexpected event %#v", ev)
			}
		default:
			return
		}
	}
}

func quick(e *Engine) {
	e.times.roam = 300 * time.Millisecond
	e.times.disconnected, e.times.failed, e.times.keepalive = 400*time.Millisecond, 600*time.Millisecond, 100*time.Millisecond
}

func TestVanishedPeer(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) { quick(a); quick(b) }})
	p.establish(t)
	p.callee.stop(t)
	gone := time.Now()
	awaitState(t, p.caller.Engine, 3*time.Second, Reconnecting)
	awaitState(t, p.caller.Engine, 3*time.Second, Failed)
	// The last sign of life may be a keepalive old.
	times := p.caller.times
	if took, want := time.Since(gone), times.disconnected+times.failed; took < want-2*times.keepalive || took > want+time.Second {
		t.Errorf("failed after %v, want %v", took, want)
	}
	if err := <-p.caller.done; !errors.Is(err, ErrLost) {
		t.Errorf("run returned %v", err)
	}
	p.caller.done <- nil
	if _, open := <-p.caller.Events(); open {
		t.Error("events go on after the end")
	}
	p.caller.Flow().WriteAudio(&media.Packet{Payload: []byte("too late")}) // must not panic
}

func TestDefaultTimeouts(t *testing.T) {
	d := defaultTimeouts()
	if sum := d.disconnected + d.failed; d.disconnected != 5*time.Second || sum != 20*time.Second {
		t.Errorf("%+v", d)
	}
}

func TestNobodyThere(t *testing.T) {
	p := newPair(t, pairOptions{delayed: true, prepare: func(a, b *Engine) { a.times.peer = 200 * time.Millisecond }})
	p.caller.start(t)
	awaitState(t, p.caller.Engine, 5*time.Second, Failed)
	if err := <-p.caller.done; !errors.Is(err, ErrNoPeer) {
		t.Errorf("run returned %v", err)
	}
	p.caller.done <- nil
}

func TestNoWayBetweenPeers(t *testing.T) {
	p := newPair(t, pairOptions{prepare: func(a, b *Engine) {
		for _, e := range []*Engine{a, b} {
			e.times.connect = 500 * time.Millisecond
			e.signal.channel = &spyChannel{Channel: e.signal.channel, drop: func(m []byte) bool { return strings.Contains(string(m), "Candidates") }}
		}
	}})
	awaitState(t, p.caller.Engine, 3*time.Second, Failed)
	if err := <-p.caller.done; !errors.Is(err, ErrNoConnect) {
		t.Errorf("run returned %v", err)
	}
	p.caller.done <- nil
}

func TestClosedNet(t *testing.T) {
	n := loopbackNet(t, 1)
	p := newPair(t, pairOptions{callerNet: n})
	p.establish(t)
	n.Close()
	if err := <-p.caller.done; !errors.Is(err, ErrNetClosed) {
		t.Errorf("run returned %v", err)
	}
	p.caller.done <- nil
}

func TestConfig(t *testing.T) {
	key, send := &Key{}, func([]byte) error { return nil }
	good := Config{Role: signaling.Caller, Key: key, Version: "13.0.0", Send: send}
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
	}{
		"no role":      {func(c *Config) { c.Role = 0 }, ErrConfig},
		"no key":       {func(c *Config) { c.Key = nil }, ErrConfig},
		"no send":      {func(c *Config) { c.Send = nil }, ErrConfig},
		"version":      {func(c *Config) { c.Version = "2.7.7" }, signaling.ErrVersion},
		"mtproto":      {func(c *Config) { c.CustomParameters = `{"network_use_mtproto":true}` }, nil},
		"parameters":   {func(c *Config) { c.CustomParameters = `[1]` }, ErrConfig},
		"mtproto off":  {func(c *Config) { c.CustomParameters = `{"network_use_mtproto":false}` }, nil},
		"unknown ones": {func(c *Config) { c.CustomParameters = `{"x":{"y":1},"network_skip_initial_ping":true}` }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			c.change(&config)
			if _, err := New(config); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
