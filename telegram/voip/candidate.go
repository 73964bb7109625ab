package voip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
)

// errCandidate is the base of what parseCandidate refuses.
var errCandidate = errors.New("unusable candidate")

// parseCandidate reads the candidate attribute of RFC 5245 section 15.1, with or without "a=" and "candidate:".
// Names are refused, those of mDNS (.local) and of reflectors (see parseReflectorCandidate) included, and so are TCP and
// component 2; what follows the type is ignored.
func parseCandidate(s string) (ice.Candidate, error) {
	line := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(s), "a="), "candidate:")
	field := strings.Fields(line)
	if len(field) < 8 || field[6] != "typ" {
		return nil, fmt.Errorf("%w: too short", errCandidate)
	}
	if field[1] != "1" || !strings.EqualFold(field[2], "udp") {
		return nil, fmt.Errorf("%w: component %s over %s", errCandidate, field[1], field[2])
	}
	priority, err := strconv.ParseUint(field[3], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%w: priority %q", errCandidate, field[3])
	}
	ip, err := netip.ParseAddr(field[4])
	if err != nil || !usableRemote(ip.Unmap()) {
		return nil, fmt.Errorf("%w: address %q", errCandidate, field[4])
	}
	port, err := strconv.ParseUint(field[5], 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%w: port %q", errCandidate, field[5])
	}
	c, err := newRemote(field[7], ip.Unmap().String(), int(port), uint32(priority))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCandidate, err)
	}
	return c, nil
}

// usableRemote refuses what nobody is reached at; link-local addresses mean nothing without their interface.
func usableRemote(ip netip.Addr) bool {
	return ip.IsValid() && ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() && !ip.IsLinkLocalUnicast() &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && !reflected(ip)
}

func newRemote(kind, ip string, port int, priority uint32) (ice.Candidate, error) {
	const network, component = "udp", ice.ComponentRTP
	switch kind {
	case "host":
		return ice.NewCandidateHost(&ice.CandidateHostConfig{
			Network: network, Address: ip, Port: port, Component: component, Priority: priority})
	case "srflx":
		return ice.NewCandidateServerReflexive(&ice.CandidateServerReflexiveConfig{
			Network: network, Address: ip, Port: port, Component: component, Priority: priority})
	case "prflx":
		return ice.NewCandidatePeerReflexive(&ice.CandidatePeerReflexiveConfig{
			Network: network, Address: ip, Port: port, Component: component, Priority: priority})
	case "relay":
		return ice.NewCandidateRelay(&ice.CandidateRelayConfig{
			Network: network, Address: ip, Port: port, Component: component, Priority: priority})
	}
	return nil, fmt.Errorf("type %q", kind)
}

// formatCandidate prints a local candidate as every engine understands it. The related address, which would tell a
// private address, is left unspecified.
func formatCandidate(c ice.Candidate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "candidate:%s %d udp %d %s %d typ %s",
		c.Foundation(), ice.ComponentRTP, c.Priority(), c.Address(), c.Port(), c.Type())
	if c.Type() != ice.CandidateTypeHost {
		unspecified := "0.0.0.0"
		if c.NetworkType().IsIPv6() {
			unspecified = "::"
		}
		fmt.Fprintf(&b, " raddr %s rport 0", unspecified)
	}
	return b.String()
}

// candidateAddress is where packets for a candidate go.
func candidateAddress(c ice.Candidate) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(c.Address())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: address %q", errCandidate, c.Address())
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(c.Port())), nil
}
