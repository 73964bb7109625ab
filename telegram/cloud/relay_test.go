package cloud

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/gotd/td/tg"
	"github.com/pion/turn/v5"
)

// allocate asks a TURN server for a relayed address, as a phone does with what its call was given.
func allocate(t *testing.T, w *tg.PhoneConnectionWebrtc) (net.PacketConn, error) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	addr := net.JoinHostPort(w.IP, strconv.Itoa(w.Port))
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: addr, TURNServerAddr: addr, Conn: conn, Username: w.Username, Password: w.Password, LoggerFactory: turnLog{testLog(t)},
		RTO: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	if self, err := c.SendBindingRequest(); err != nil || self.String() != conn.LocalAddr().String() {
		t.Fatalf("stun says %v, %v; want %v", self, err, conn.LocalAddr())
	}
	relayed, err := c.Allocate()
	if err == nil {
		t.Cleanup(func() { _ = relayed.Close() })
	}
	return relayed, err
}

func TestRelayServesActiveCallsOnly(t *testing.T) {
	s, _ := startServer(t, Options{Relay: Relay{TURN: true}})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	e := establish(t, a, b, a.user("bob_b"), protocol("13.0.0"), protocol("13.0.0"))
	server := e.callerCall.Connections[0].(*tg.PhoneConnectionWebrtc)
	one, err := allocate(t, server)
	if err != nil {
		t.Fatal(err)
	}
	two, err := allocate(t, e.calleeCall.Connections[0].(*tg.PhoneConnectionWebrtc))
	if err != nil {
		t.Fatal(err)
	}
	carryOver(t, one, two)
	carryOver(t, two, one)

	wrong := *server
	wrong.Password += "x"
	if _, err := allocate(t, &wrong); err == nil {
		t.Fatal("a wrong password was taken")
	}
	s.Control().EndCall(e.callerPeer.ID, "hangup")
	if _, err := allocate(t, server); err == nil {
		t.Fatal("the credentials outlive the call")
	}
}

// carryOver sends from one relayed address to another until it arrives (the other side must have sent first to let it in).
func carryOver(t *testing.T, from, to net.PacketConn) {
	t.Helper()
	buf := make([]byte, 100)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, err := to.WriteTo([]byte("open"), from.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, err := from.WriteTo([]byte("hello"), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		_ = to.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, _, err := to.ReadFrom(buf); err == nil && string(buf[:n]) == "hello" {
			return
		}
	}
	t.Fatal("nothing comes through")
}
