package cloud

import (
	"context"
	"encoding/hex"
	"net"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// answers says whether the reflector knows a tag.
func answers(t *testing.T, s *Server, tag []byte) bool {
	t.Helper()
	conn, err := net.Dial("udp", s.ReflectorAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hello := append(append([]byte{}, tag[:12]...), 1, 0, 0, 0, 0, 0, 0, 0)
	b := make([]byte, 100)
	for range 3 {
		if _, err := conn.Write(hello); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := conn.Read(b); err == nil {
			return n >= 16 && string(b[:12]) == string(tag[:12])
		}
	}
	return false
}

func TestReflector(t *testing.T) {
	s, _ := startServer(t, Options{Relay: Relay{Reflector: true}, NoP2P: true})
	a, b := loggedIn(t, s, alice), loggedIn(t, s, bob)
	e := establish(t, a, b, a.user("bob_b"), protocol("13.0.0"), protocol("13.0.0"))
	var servers [2][]voip.Server
	var tags [2][]byte
	for i, c := range []*tg.PhoneCall{e.callerCall, e.calleeCall} {
		if c.P2PAllowed || len(c.Connections) != 2 {
			t.Fatalf("call %+v", c)
		}
		for j, entry := range c.Connections {
			r, ok := entry.(*tg.PhoneConnection)
			if !ok || r.TCP != (j == 1) || r.Port != int(s.ReflectorAddr().Port()) || len(r.PeerTag) != 16 || r.PeerTag[0] != byte(i) {
				t.Fatalf("connection %+v", entry)
			}
			tags[i] = r.PeerTag
			servers[i] = append(servers[i], voip.Server{ID: 1, Host: r.IP, Port: r.Port, PeerTag: hex.EncodeToString(r.PeerTag), TCP: r.TCP})
		}
	}
	if string(tags[0][1:12]) != string(tags[1][1:12]) {
		t.Error("tags of different calls")
	}
	if !answers(t, s, tags[0]) || !answers(t, s, tags[1]) {
		t.Error("no answer")
	}
	talkThrough(t, servers)
	signal(t, e)
	hangUp(t, s, e)
	if answers(t, s, tags[0]) {
		t.Error("still there after the call")
	}
}

// talkThrough lets two engines talk through the servers that a call was given.
func talkThrough(t *testing.T, servers [2][]voip.Server) {
	t.Helper()
	var engines [2]*voip.Engine
	key := &voip.Key{1}
	for i, role := range []voip.Role{signaling.Caller, signaling.Callee} {
		e, err := voip.New(voip.Config{Role: role, Key: key, Version: "13.0.0", Servers: servers[i], Send: func(p []byte) error {
			engines[1-i].Receive(p)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		engines[i] = e
	}
	ctx, cancel := context.WithTimeout(ctxOf(t), 20*time.Second)
	done := make(chan error, 2)
	for _, e := range engines {
		go func() { done <- e.Run(ctx) }()
	}
	defer func() {
		cancel()
		for range engines {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; engines[0].Stats().Media.PacketsReceived < 5 || engines[1].Stats().Media.PacketsReceived < 5; i++ {
		select {
		case <-tick.C:
			for _, e := range engines {
				e.Flow().WriteAudio(&media.Packet{Timestamp: uint32(i) * 960, Payload: []byte("audio")})
			}
		case <-ctx.Done():
			t.Fatalf("%+v, %+v", engines[0].Stats(), engines[1].Stats())
		}
	}
	for _, e := range engines {
		if got := e.Stats().Local; got != "relay" {
			t.Errorf("way is %s", got)
		}
	}
}
