package voip

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const steadyTest = 150 * time.Millisecond

// steadyLeg runs the leg to a server on loopback until the test ends, with quicker hellos.
func steadyLeg(t *testing.T, server net.Addr) *leg {
	t.Helper()
	s := Server{ID: 1, Host: "127.0.0.1", PeerTag: vectorTag}
	switch at := server.(type) {
	case *net.UDPAddr:
		s.Port = at.Port
	case *net.TCPAddr:
		s.Port, s.TCP = at.Port, true
	}
	legs := newReflectors(t.Context(), reflectorOptions{servers: []Server{s}, role: signaling.Caller, take: func([]byte) {}, log: testLog(t)}).legs
	if len(legs) != 1 || legs[0].steady != 10*time.Second {
		t.Fatalf("%+v", legs)
	}
	l := legs[0]
	l.steady = steadyTest
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); l.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// helloPace says whether hellos after the first come neither at once nor late; a loaded machine may take its time.
type helloPace struct{ last time.Time }

func (p *helloPace) next(t *testing.T, limit time.Duration) {
	t.Helper()
	now := time.Now()
	if gap := now.Sub(p.last); !p.last.IsZero() && (gap < steadyTest/3 || gap > limit) {
		t.Errorf("a hello after %v, want every %v", gap, steadyTest)
	}
	p.last = now
}

// A leg that the reflector has answered goes on saying hello, whether packets come in or not: reflectors and NATs forget
// who is silent.
func TestLegSaysHelloAgain(t *testing.T) {
	for name, busy := range map[string]bool{"idle": false, "with packets": true} {
		t.Run("udp "+name, func(t *testing.T) {
			server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			l := steadyLeg(t, server.LocalAddr())
			hello, buf := l.tag.hello(l.local.tag), make([]byte, 100)
			_ = server.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				t.Fatalf("no hello: %v", err)
			}
			_, _ = server.WriteToUDPAddrPort(hello[:peerTagLength], from) // the answer
			select {
			case <-l.ready:
			case <-time.After(5 * time.Second):
				t.Fatal("the leg does not take the answer")
			}
			if busy {
				stop, stopped := make(chan struct{}), make(chan struct{})
				defer func() { close(stop); <-stopped }()
				go func() {
					defer close(stopped)
					media := l.tag.appendData(nil, l.local.tag, vectorTo, []byte("\x80media"))
					for every := time.NewTicker(10 * time.Millisecond); ; {
						select {
						case <-stop:
							every.Stop()
							return
						case <-every.C:
							_, _ = server.WriteToUDPAddrPort(media, from)
						}
					}
				}()
			}
			var p helloPace
			for i := range 4 {
				_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
				n, again, err := server.ReadFromUDPAddrPort(buf)
				if err != nil {
					t.Fatalf("hello %d does not come: %v", i+2, err)
				}
				if again != from || !bytes.Equal(buf[:n], hello) {
					t.Errorf("%v says %x, want the hello of %v", again, buf[:n], from)
				}
				p.next(t, 5*time.Second)
			}
		})
	}
	t.Run("tcp", func(t *testing.T) {
		server, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		l := steadyLeg(t, server.Addr())
		_ = server.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
		conn, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		opened := make([]byte, len(reflectorOpened))
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(conn, opened); err != nil || string(opened) != reflectorOpened {
			t.Fatalf("the connection begins with %x, %v", opened, err)
		}
		hello := l.tag.helloTCP(l.local.tag)
		var p helloPace
		for i := range 4 {
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			frame := make([]byte, reflectorFrame+len(hello))
			if _, err := io.ReadFull(conn, frame); err != nil {
				t.Fatalf("hello %d does not come: %v", i+1, err)
			}
			if binary.LittleEndian.Uint32(frame) != uint32(len(hello)) || !bytes.Equal(frame[reflectorFrame:], hello) {
				t.Errorf("the frame is %x, want the hello %x", frame, hello)
			}
			p.next(t, 5*time.Second)
		}
	})
}
