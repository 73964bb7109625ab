package calls

import (
	"context"
	"encoding/hex"
	"net"
	"slices"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// Engine is what a call needs of a *voip.Engine, whose docs say what the methods do.
type Engine interface {
	Run(ctx context.Context) error
	Receive(packet []byte)
	Events() <-chan voip.Event
	Flow() media.Flow
	SetMuted(bool)
	Stats() voip.Stats
}

func newVoip(c voip.Config) (Engine, error) { return voip.New(c) }

func defaultVersions() []string { return signaling.Versions() }

// withReference adds the reference engines behind the other versions. Telegram ranks them by itself.
func withReference(versions []string) []string {
	all := slices.Clone(versions)
	for _, v := range signaling.ReferenceVersions() {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// servers turns phoneCall.connections into the engine's form; a server that has both kinds of address becomes two.
func servers(connections []tg.PhoneConnectionClass) []voip.Server {
	var usable []voip.Server
	add := func(s voip.Server, hosts ...string) {
		for _, host := range hosts {
			if s.Host = host; net.ParseIP(host) != nil && s.Port > 0 && s.Port <= 65535 {
				usable = append(usable, s)
			}
		}
	}
	ids := reflectorIDs(connections)
	for _, c := range connections {
		switch c := c.(type) {
		case *tg.PhoneConnectionWebrtc:
			add(voip.Server{ID: c.ID, Port: c.Port, Username: c.Username, Password: c.Password, TURN: c.Turn, STUN: c.Stun}, c.IP, c.Ipv6)
		case *tg.PhoneConnection:
			port := c.Port
			if port == 0 {
				port = reflectorPort
			}
			place, _ := slices.BinarySearch(ids, c.ID)
			add(voip.Server{ID: int64(place) + 1, Port: port, PeerTag: hex.EncodeToString(c.PeerTag), TCP: c.TCP}, c.IP, c.Ipv6)
		}
	}
	return usable
}

// reflectorPort is the official engine's default.
const reflectorPort = 599

// reflectorIDs are the distinct ids of the reflectors in ascending order. Both sides of a call know a reflector by its
// place among them.
func reflectorIDs(connections []tg.PhoneConnectionClass) []int64 {
	var ids []int64
	for _, c := range connections {
		if r, ok := c.(*tg.PhoneConnection); ok {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
