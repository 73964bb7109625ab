package esl

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/media"
)

// Options says how to reach one FreeSWITCH and how to behave towards it.
type Options struct {
	Name     string        // the trunk's name in the configuration; required
	Address  string        // host:port of the event socket, "127.0.0.1:8021"; required
	Password string        // of event_socket.conf.xml; required; never logged, never part of an error
	App      string        // value of tgtrunk_app in the dialplan; default "tgtrunk"
	Verto    VertoOptions  // the usual way for audio; without URL only the fallback is tried
	Socket   SocketOptions // the other way in, from the dialplan's socket application; off by default
	Media    MediaOptions  // how audio travels

	Ringback pbx.Ringback // what callers at the PBX hear until they are answered; default pbx.Signal

	// Variables are those of a caller's channel that routes ask for (routing.Table.Variables). Those that a channel has come
	// with its event; another one, which may be a global variable, is a command a call.
	Variables []string

	Context        string        // dialplan context for targets that name only an extension; default "from-telegram"
	DialTimeout    time.Duration // how long a dialled target may ring if it says nothing itself; default 60 s
	RequestTimeout time.Duration // deadline of every command to FreeSWITCH; default 5 s
	Log            *slog.Logger  // nil discards
}

// VertoOptions says how to open legs of mod_verto.
type VertoOptions struct {
	URL       string // "ws://127.0.0.1:8081", or wss
	Login     string // user@domain of the directory
	Password  string // its password
	Extension string // in the profile's context, answers and parks; default "tgtrunk-media"
	// DialExtension is in the profile's context and parks without an answer: where calls into the dialplan begin.
	// Default "tgtrunk-dial". Where there is none they go through a loopback channel, at 8 kHz.
	DialExtension string
}

// SocketOptions is where the dialplan's socket application finds us.
type SocketOptions struct {
	Listen   string   // TCP ip:port; "" is off
	Allow    []string // addresses or networks that may connect; default loopback and the host of Address
	Password string   // what the channel variable tgtrunk_password must be; "" asks for none
}

// MediaOptions says how the audio of the calls travels between this process and FreeSWITCH.
type MediaOptions struct {
	// Listen is ip:port of our one RTP socket; port 0 takes any. The default is 127.0.0.1:0 where FreeSWITCH itself is
	// addressed as loopback, and 0.0.0.0:0 otherwise.
	Listen string
	// Advertise is the address FreeSWITCH sends RTP to. The default is that of Listen or, where that names none, our
	// address on the way to FreeSWITCH.
	Advertise string
	// Codec is that of the leg: CodecAuto (default) takes Opus for channels that have Opus and L16 at 16 kHz for all others.
	Codec string
	// Unicast names the two extensions of the fallback, in UnicastContext, and FreeSWITCH's side of its sockets.
	Unicast UnicastOptions
}

// UnicastOptions is what the fallback needs: FreeSWITCH's own host, and ports on it that we choose.
type UnicastOptions struct {
	Off       bool   // never use the fallback
	Extension string // of the dialplan, answers and parks; default "tgtrunk-media"
	Context   string // it is in; default "tgtrunk-media"
	Ports     [2]int // first and last UDP port on FreeSWITCH's host; default 40000 to 40999
}

// The values of MediaOptions.Codec.
const (
	CodecAuto = "auto"
	CodecL16  = "l16" // 16 kHz
	CodecPCMU = "pcmu"
	CodecPCMA = "pcma"
	CodecOpus = "opus"
)

const (
	defaultApp            = "tgtrunk"
	defaultContext        = "from-telegram"
	defaultMedia          = "tgtrunk-media"
	defaultDial           = "tgtrunk-dial"
	defaultDialTimeout    = 60 * time.Second
	defaultRequestTimeout = 5 * time.Second
)

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// withDefaults returns the options with every default filled in, or an error that names each wrong field.
func (o Options) withDefaults() (Options, error) {
	orDefault(&o.App, defaultApp)
	orDefault(&o.Context, defaultContext)
	orDefault(&o.Ringback, pbx.Signal)
	orDefault(&o.DialTimeout, defaultDialTimeout)
	orDefault(&o.RequestTimeout, defaultRequestTimeout)
	orDefault(&o.Verto.Extension, defaultMedia)
	orDefault(&o.Verto.DialExtension, defaultDial)
	orDefault(&o.Media.Codec, CodecAuto)
	u := &o.Media.Unicast
	orDefault(&u.Extension, defaultMedia)
	orDefault(&u.Context, defaultMedia)
	orDefault(&u.Ports, [2]int{40000, 40999})
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		err = fmt.Errorf("address %q: want host:port of the event socket", o.Address)
	}
	switch {
	case o.Media.Listen == "" && isLoopback(host):
		o.Media.Listen = "127.0.0.1:0"
	case o.Media.Listen == "":
		o.Media.Listen = "0.0.0.0:0"
	case strings.HasPrefix(o.Media.Listen, ":"):
		o.Media.Listen = "0.0.0.0" + o.Media.Listen
	}
	if o.Socket.Listen != "" && len(o.Socket.Allow) == 0 {
		o.Socket.Allow = []string{"127.0.0.0/8", "::1"}
		if net.ParseIP(host) != nil {
			o.Socket.Allow = append(o.Socket.Allow, host)
		}
	}
	return o, errors.Join(err, o.check())
}

func (o Options) check() error {
	var wrong []error
	report := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if o.Name == "" {
		report("name is empty")
	}
	if _, err := command(o.Password); err != nil || o.Password == "" {
		report("password is empty or holds a control character")
	}
	if !validContext(o.App) {
		report("app %q: want letters, digits, '-', '_' and '.'", o.App)
	}
	if !validContext(o.Context) {
		report("context %q: want letters, digits, '-', '_' and '.'", o.Context)
	}
	if !o.Ringback.Valid() {
		report("ringback %q: want %s or %s", o.Ringback, pbx.Signal, pbx.Media)
	}
	for _, name := range o.Variables {
		if !readable(name) {
			report("variable %q: want the name of a channel variable", name)
		}
	}
	if o.DialTimeout < time.Second {
		report("dial timeout %v: want at least 1s", o.DialTimeout)
	}
	if o.RequestTimeout < 0 {
		report("request timeout %v is negative", o.RequestTimeout)
	}
	o.checkVerto(report)
	o.checkMedia(report)
	if o.Socket.Listen != "" {
		if _, err := netip.ParseAddrPort(o.Socket.Listen); err != nil {
			report("socket listen address %q: want ip:port", o.Socket.Listen)
		}
		if _, err := parseNetworks(o.Socket.Allow); err != nil {
			report("socket allow: %v", err)
		}
	}
	return errors.Join(wrong...)
}

func (o Options) checkVerto(report func(string, ...any)) {
	v := o.Verto
	if v.URL == "" {
		if o.Media.Unicast.Off {
			report("verto url is empty and unicast is off: audio has no way")
		}
		return
	}
	u, err := url.Parse(v.URL)
	switch {
	case err != nil:
		report("verto url does not parse: want ws://host:8081")
	case u.User != nil:
		report("verto url contains user info: give login and password as their own options")
	case u.Scheme != "ws" && u.Scheme != "wss", u.Hostname() == "":
		report("verto url %q: want ws://host:8081", v.URL)
	}
	if user, domain, ok := strings.Cut(v.Login, "@"); !ok || user == "" || domain == "" {
		report("verto login %q: want user@domain of the directory", v.Login)
	}
	if v.Password == "" {
		report("verto password is empty")
	}
	for _, extension := range []string{v.Extension, v.DialExtension} {
		if !validExtension(extension) {
			report("verto extension %q: want an extension of the profile's context", extension)
		}
	}
}

func (o Options) checkMedia(report func(string, ...any)) {
	m := o.Media
	if _, err := netip.ParseAddrPort(m.Listen); err != nil {
		report("media listen address %q: want ip:port", m.Listen)
	}
	if m.Advertise != "" {
		if _, err := netip.ParseAddr(m.Advertise); err != nil {
			report("media advertise %q: want an ip address without port", m.Advertise)
		}
	}
	if !slices.Contains([]string{CodecAuto, CodecL16, CodecPCMU, CodecPCMA, CodecOpus}, m.Codec) {
		report("media codec %q: want %s, %s, %s, %s or %s", m.Codec, CodecAuto, CodecL16, CodecPCMU, CodecPCMA, CodecOpus)
	}
	if !validExtension(m.Unicast.Extension) || !validContext(m.Unicast.Context) {
		report("unicast extension %q in context %q: want names of the dialplan", m.Unicast.Extension, m.Unicast.Context)
	}
	if p := m.Unicast.Ports; p[0] < 1024 || p[1] > 65535 || p[0] > p[1] {
		report("unicast ports %d to %d: want a range within 1024 to 65535", p[0], p[1])
	}
}

// wanted returns the format to ask for, for a channel that has this codec.
func (m MediaOptions) wanted(channelCodec string) media.Format {
	codec := m.Codec
	if codec == CodecAuto {
		codec = CodecL16
		if strings.EqualFold(channelCodec, "opus") {
			codec = CodecOpus
		}
	}
	switch codec {
	case CodecOpus:
		return media.Format{Codec: media.Opus, Rate: 48000, Ptime: packetTime}
	case CodecPCMU:
		return media.Format{Codec: media.PCMU, Rate: 8000, Ptime: packetTime}
	case CodecPCMA:
		return media.Format{Codec: media.PCMA, Rate: 8000, Ptime: packetTime}
	}
	return media.Format{Codec: media.L16, Rate: 16000, Ptime: packetTime}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// parseNetworks reads addresses and networks.
func parseNetworks(list []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		if addr, err := netip.ParseAddr(text); err == nil {
			networks = append(networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q: want an address or a network", text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}
