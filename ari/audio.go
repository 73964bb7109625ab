package ari

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/media"
)

const packetTime = 20 * time.Millisecond // what Asterisk sends and takes best

// audio is how a leg's sound gets in and out of Asterisk: an external media channel (chan_rtp) in a mixing bridge with
// the main channel. Owned by the leg's goroutine; ids are set before the objects are asked for.
type audio struct {
	bridge  string
	channel string // of the media channel
	flow    media.Flow
}

// prepare asks for the bridge and the media channel. Both exist when it returns, but the media channel may not be
// bridged before it is inside Stasis: its StasisStart calls connect.
func (l *leg) prepare(law media.Codec) {
	l.state = connecting
	l.deadline.Reset(l.link.opt.RequestTimeout)
	if err := l.openAudio(law); err != nil {
		l.fail(bridge.MediaFailed, fmt.Errorf("set up audio: %w", err))
	}
}

func (l *leg) openAudio(law media.Codec) error {
	ctx, cancel := context.WithTimeout(l.setup.ctx, l.link.opt.RequestTimeout)
	defer cancel()
	l.audio.bridge = l.id + "-bridge"
	l.link.legs.Own(l.audio.bridge, l)
	if err := l.link.rest.createBridge(ctx, l.audio.bridge, l.id); err != nil {
		return err
	}
	l.link.legs.Confirm(l.audio.bridge, l)
	l.audio.channel = l.id + "-media"
	l.link.legs.Own(l.audio.channel, l)
	remote, err := l.externalMedia(ctx, law)
	if err != nil {
		return err
	}
	l.link.legs.Confirm(l.audio.channel, l)
	l.audio.flow, err = l.link.port.Open(remote, media.Format{Codec: law, Rate: 8000, Ptime: packetTime}, payloadType(law))
	return err
}

// externalMedia creates the media channel and returns where Asterisk takes its RTP.
func (l *leg) externalMedia(ctx context.Context, law media.Codec) (netip.AddrPort, error) {
	external, err := l.link.externalHost(ctx)
	if err != nil {
		return netip.AddrPort{}, err
	}
	host, port, err := l.link.rest.externalMedia(ctx, ariapi.ExternalMediaOptions{
		ChannelID: l.audio.channel, App: l.link.opt.App, ExternalHost: external, Format: formatName(law),
		Encapsulation: "rtp", Transport: "udp", ConnectionType: "client", Direction: "both",
		Variables: map[string]string{"TGTRUNK_LEG": l.id},
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	remote, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("rtp address %s of the media channel: %w", net.JoinHostPort(host, port), err)
	}
	if remote.Addr().IsUnspecified() {
		_, there, err := l.link.route(ctx)
		if err != nil {
			return netip.AddrPort{}, err
		}
		remote = netip.AddrPortFrom(there, remote.Port())
	}
	return remote, nil
}

// connect puts both channels into the bridge, lets the role do the rest, and declares the audio up.
func (l *leg) connect() {
	if l.state != connecting {
		return
	}
	if err := l.joinBridge(); err != nil {
		if isGone(err) {
			return // its event is on the way and says why; the deadline runs
		}
		l.fail(bridge.MediaFailed, fmt.Errorf("connect audio: %w", err))
		return
	}
	l.deadline.Stop()
	l.state = up
	l.log.Debug("leg is up", "audio", l.audio.flow.Format().Codec.String())
	l.emit(bridge.Answered{})
	l.emit(bridge.Media{Flow: l.audio.flow})
}

func (l *leg) joinBridge() error {
	if l.audio.flow == nil {
		return errors.New("media channel is there before its address") // the reply to its creation was an error
	}
	ctx, cancel := context.WithTimeout(l.setup.ctx, l.link.opt.RequestTimeout)
	defer cancel()
	if err := l.link.rest.addChannel(ctx, l.audio.bridge, l.audio.channel); err != nil {
		return err
	}
	if err := l.link.rest.addChannel(ctx, l.audio.bridge, l.channel); err != nil {
		return err
	}
	return l.role.join(ctx)
}

// release removes media channel and bridge from Asterisk.
func (a *audio) release(ctx context.Context, l *leg) error {
	var errs []error
	if a.flow != nil {
		errs = append(errs, a.flow.Close())
	}
	if a.channel != "" {
		errs = append(errs, l.link.rest.hangup(ctx, a.channel, normalClearing))
	}
	if a.bridge != "" {
		errs = append(errs, l.link.rest.destroyBridge(ctx, a.bridge))
	}
	return errors.Join(errs...)
}

const normalClearing bridge.Q850 = 16

// lawOf picks the law of a channel from what CHANNEL(audionativeformat) says, such as "(ulaw|alaw)" or "ulaw".
// Transcoding between the two laws is what this avoids; a channel with neither gets the fallback.
func lawOf(formats string, fallback media.Codec) media.Codec {
	ulaw, alaw := strings.Index(formats, "ulaw"), strings.Index(formats, "alaw")
	switch {
	case ulaw < 0 && alaw < 0:
		return fallback
	case ulaw < 0 || alaw >= 0 && alaw < ulaw:
		return media.PCMA
	}
	return media.PCMU
}

// askLaw asks a channel for its law. Where Asterisk cannot say (func_channel.so is not loaded), the fallback is right
// too, at the price of a transcoding.
func (l *leg) askLaw() media.Codec {
	formats, err := l.link.rest.variable(l.setup.ctx, l.channel, "CHANNEL(audionativeformat)")
	if err != nil {
		l.log.Debug("channel does not tell its audio format", "error", err)
	}
	return lawOf(formats, l.link.opt.Media.Law)
}

// formatName and payloadType: Asterisk's name and the static RTP payload type (RFC 3551) of a law.
func formatName(law media.Codec) string {
	if law == media.PCMA {
		return "alaw"
	}
	return "ulaw"
}

func payloadType(law media.Codec) uint8 {
	if law == media.PCMA {
		return 8
	}
	return 0
}

// externalHost is where Asterisk is told to send RTP.
func (l *Link) externalHost(ctx context.Context) (string, error) {
	local := l.port.LocalAddr()
	port := strconv.Itoa(int(local.Port()))
	if l.opt.Media.Advertise != "" {
		return net.JoinHostPort(l.opt.Media.Advertise, port), nil
	}
	if !local.Addr().IsUnspecified() {
		return net.JoinHostPort(local.Addr().String(), port), nil
	}
	here, _, err := l.route(ctx)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(here.String(), port), nil
}

// checkRoute refuses an RTP address that Asterisk cannot send to, which would otherwise show as silence in every call.
func (l *Link) checkRoute(ctx context.Context) error {
	local := l.port.LocalAddr().Addr()
	if l.opt.Media.Advertise != "" || !local.IsLoopback() {
		return nil
	}
	here, there, err := l.route(ctx)
	if err != nil {
		return err
	}
	// An Asterisk on this machine may be addressed by any of the machine's addresses.
	if there.IsLoopback() || here == there {
		return nil
	}
	return fmt.Errorf("asterisk at %s cannot send audio to %s: listen on an address it reaches, such as %s",
		there, l.port.LocalAddr(), netip.AddrPortFrom(here, l.port.LocalAddr().Port()))
}

// route returns our address on the way to the host ARI is served on, and that host's. The kernel chooses; a UDP
// "connection" sends nothing.
func (l *Link) route(ctx context.Context) (here, there netip.Addr, err error) {
	host, err := checkURL(l.opt.URL)
	if err != nil {
		return here, there, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp4", net.JoinHostPort(host, "9"))
	if err != nil {
		if conn, err = dialer.DialContext(ctx, "udp", net.JoinHostPort(host, "9")); err != nil {
			return here, there, fmt.Errorf("find the way to asterisk: %w", err)
		}
	}
	defer conn.Close()
	return addrOf(conn.LocalAddr()), addrOf(conn.RemoteAddr()), nil
}

func addrOf(a net.Addr) netip.Addr {
	if udp, ok := a.(*net.UDPAddr); ok {
		return udp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
