package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// codecs are the values of a freeswitch section's codec.
var codecs = []string{"auto", codecL16, codecPCMU, codecPCMA, "opus"}

var appPattern = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,80}$`)

const (
	codecL16  = "l16"
	codecPCMU = "pcmu"
	codecPCMA = "pcma"
)

func (c *checker) freeswitch(i int, p *PBX) {
	f := p.FreeSWITCH
	way := func(keys ...any) []any { return append([]any{"pbx", i, "freeswitch"}, keys...) }
	c.address(way("address"), f.Address)
	if f.Password.Reveal() == "" {
		c.problem(way("password"), "pbx %s: password is missing: the one of event_socket.conf.xml", p.Name)
	}
	if !slices.Contains(codecs, f.Codec) {
		c.problem(way("codec"), "pbx %s: codec is %s, not %q", p.Name, strings.Join(codecs, ", "), f.Codec)
	}
	if !appPattern.MatchString(f.App) {
		c.problem(way("app"), "pbx %s: app %q: use up to 80 letters, digits and '-', '_' and '.', as the dialplan sets tgtrunk_app to", p.Name, f.App)
	}
	c.ringback(way("ringback"), p.Name, f.Ringback)
	c.verto(way, p)
	if _, err := netip.ParseAddrPort(f.Socket.Listen); err != nil && f.Socket.Listen != "" {
		c.problem(way("socket", "listen"), "pbx %s: socket.listen %q: write it as ADDRESS:PORT with an address of this machine, or 0.0.0.0 for all",
			p.Name, f.Socket.Listen)
	}
	for n, network := range f.Socket.Allow {
		_, one := netip.ParseAddr(network)
		_, many := netip.ParsePrefix(network)
		if one != nil && many != nil {
			c.problem(way("socket", "allow", n), "pbx %s: %q is neither an address nor a network", p.Name, network)
		}
	}
	c.rtp(way("rtp", "listen"), p.Name, f.RTP)
	if _, err := netip.ParseAddr(f.RTP.Advertise); err != nil && f.RTP.Advertise != "" {
		c.problem(way("rtp", "advertise"), "pbx %s: rtp.advertise %q: FreeSWITCH needs an address, not a name", p.Name, f.RTP.Advertise)
	}
	c.duration(way("timeout"), f.Timeout, time.Second, time.Minute)
}

func (c *checker) verto(way func(...any) []any, p *PBX) {
	v := p.FreeSWITCH.Verto
	if v.URL == "" {
		if !*p.FreeSWITCH.Unicast {
			c.problem(way("verto"), "pbx %s: without verto.url and with unicast: false audio has no way", p.Name)
		}
		return
	}
	link, err := url.Parse(v.URL)
	switch {
	case err != nil || link.Host == "" || (link.Scheme != "ws" && link.Scheme != "wss"):
		c.problem(way("verto", "url"), "pbx %s: verto.url %q: write it as ws://HOST:8081", p.Name, v.URL)
	case link.User != nil:
		c.problem(way("verto", "url"), "pbx %s: leave user and password out of verto.url; they have keys of their own", p.Name)
	}
	if user, domain, ok := strings.Cut(v.Login, "@"); !ok || user == "" || domain == "" {
		c.problem(way("verto", "login"), "pbx %s: verto.login %q: write it as USER@DOMAIN of the directory", p.Name, v.Login)
	}
	if v.Password.Reveal() == "" {
		c.problem(way("verto", "password"), "pbx %s: verto.password is missing: the user's in the directory", p.Name)
	}
}
