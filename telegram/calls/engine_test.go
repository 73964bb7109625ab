package calls

import (
	"slices"
	"strings"
	"testing"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// Both sides of a call number its reflectors alike: by their ids in ascending order, each id once.
func TestServers(t *testing.T) {
	tag := func(b byte) []byte { return slices.Repeat([]byte{b}, 16) }
	hex := func(s string) string { return strings.Repeat(s, 16) }
	got := servers([]tg.PhoneConnectionClass{
		&tg.PhoneConnection{ID: 900, IP: "192.0.2.9", Ipv6: "2001:db8::9", Port: 598, PeerTag: tag(9)},
		&tg.PhoneConnectionWebrtc{Stun: true, ID: 5, IP: "192.0.2.5", Port: 1400},
		&tg.PhoneConnection{ID: 30, IP: "192.0.2.3", PeerTag: tag(3)},
		&tg.PhoneConnection{TCP: true, ID: 900, IP: "192.0.2.9", Port: 443, PeerTag: tag(9)},
		&tg.PhoneConnection{ID: 400, IP: "no address", Port: 598, PeerTag: tag(4)},
		&tg.PhoneConnectionWebrtc{Turn: true, ID: 6, IP: "192.0.2.6", Port: 0},
	})
	want := []voip.Server{
		{ID: 3, Host: "192.0.2.9", Port: 598, PeerTag: hex("09")},
		{ID: 3, Host: "2001:db8::9", Port: 598, PeerTag: hex("09")},
		{ID: 5, Host: "192.0.2.5", Port: 1400, STUN: true},
		{ID: 1, Host: "192.0.2.3", Port: 599, PeerTag: hex("03")},
		{ID: 3, Host: "192.0.2.9", Port: 443, PeerTag: hex("09"), TCP: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestCodecWish: the line's wish for a codec reaches the engine.
func TestCodecWish(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice, func(o *Options) { o.Prefer, o.Other = voip.PreferG711, media.PCMA }), x.join(bob)
		talk(t, a, b)
		if c := x.engine(alice).config; c.Prefer != voip.PreferG711 || c.Other != media.PCMA {
			t.Errorf("the engine prefers %v beside %v", c.Prefer, c.Other)
		}
	})
}
