package calls

import (
	"context"
	"net"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// engine is what a call needs of a *voip.Engine.
type engine interface {
	Run(ctx context.Context) error
	Receive(packet []byte)
	Events() <-chan voip.Event
	Flow() media.Flow
	SetMuted(bool)
	Stats() voip.Stats
}

func newVoip(c voip.Config) (engine, error) { return voip.New(c) }

func defaultVersions() []string { return signaling.Versions() }

// servers turns the STUN and TURN servers of phoneCall.connections into the engine's form; a server that has both
// kinds of address becomes two. MTProto reflectors (phoneConnection) are not spoken and only counted.
func servers(connections []tg.PhoneConnectionClass) (usable []voip.Server, reflectors int) {
	for _, c := range connections {
		w, ok := c.(*tg.PhoneConnectionWebrtc)
		if !ok {
			reflectors++
			continue
		}
		for _, host := range []string{w.IP, w.Ipv6} {
			if net.ParseIP(host) == nil || w.Port <= 0 || w.Port > 65535 {
				continue
			}
			usable = append(usable, voip.Server{
				ID: w.ID, Host: host, Port: w.Port, Username: w.Username, Password: w.Password, TURN: w.Turn, STUN: w.Stun,
			})
		}
	}
	return usable, reflectors
}
