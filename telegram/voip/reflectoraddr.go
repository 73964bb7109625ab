package voip

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
)

// An ICE agent knows addresses only, so that the ends of a way through a reflector get made-up ones:
//
//	fd74:6774:7275:6e6b:SSLL:00II:TTTT:TTTT
//
// with the side S (0 the peer's, 1 ours), the leg L (ours only), the reflector's id I and the random tag T. The port is
// the reflector's, which makes ends of different reflectors differ. Nothing is ever sent to such an address, and none
// is signalled.
const reflectedPrefix = "\xfdtgtrunk"

// end is one end of a way through a reflector.
type end struct {
	ours bool
	leg  uint8 // 0 at the peer's
	id   uint8
	tag  uint32
	port uint16
}

func (e end) address() netip.AddrPort {
	var b [16]byte
	copy(b[:], reflectedPrefix)
	if e.ours {
		b[8] = 1
	}
	b[9], b[11] = e.leg, e.id
	binary.BigEndian.PutUint32(b[12:], e.tag)
	return netip.AddrPortFrom(netip.AddrFrom16(b), e.port)
}

// reflected says whether an address is a made-up one.
func reflected(ip netip.Addr) bool {
	b := ip.As16()
	return ip.Is6() && string(b[:len(reflectedPrefix)]) == reflectedPrefix
}

// endAt is the reverse of end.address.
func endAt(a netip.AddrPort) (e end, ok bool) {
	if !reflected(a.Addr()) {
		return e, false
	}
	b := a.Addr().As16()
	return end{ours: b[8] == 1, leg: b[9], id: b[11], tag: binary.BigEndian.Uint32(b[12:]), port: a.Port()}, true
}

const (
	reflectorName   = "reflector-"
	reflectorDomain = ".reflector"
)

// isReflectorCandidate says whether a candidate's address is a name that only reflectors understand.
func isReflectorCandidate(line string) bool {
	field := strings.Fields(line)
	return len(field) > 4 && strings.HasSuffix(field[4], reflectorDomain)
}

// parseReflectorCandidate reads a candidate whose address is reflector-<id>-<tag>.reflector. Component 0 is how older
// engines print theirs.
func parseReflectorCandidate(line string) (e end, priority uint32, err error) {
	line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "a="), "candidate:")
	field := strings.Fields(line)
	if len(field) < 8 || field[6] != "typ" || field[7] != "relay" {
		return e, 0, fmt.Errorf("%w: no relay", errCandidate)
	}
	if field[1] != "1" && field[1] != "0" || !strings.EqualFold(field[2], "udp") {
		return e, 0, fmt.Errorf("%w: component %s over %s", errCandidate, field[1], field[2])
	}
	p, err := strconv.ParseUint(field[3], 10, 32)
	if err != nil {
		return e, 0, fmt.Errorf("%w: priority %q", errCandidate, field[3])
	}
	name, found := strings.CutPrefix(field[4], reflectorName)
	name, end := strings.CutSuffix(name, reflectorDomain)
	first, second, cut := strings.Cut(name, "-")
	id, idErr := strconv.ParseUint(first, 10, 8)
	tag, tagErr := strconv.ParseUint(second, 10, 32)
	if !found || !end || !cut || idErr != nil || tagErr != nil || id == 0 || tag == 0 {
		return e, 0, fmt.Errorf("%w: address %q", errCandidate, field[4])
	}
	port, err := strconv.ParseUint(field[5], 10, 16)
	if err != nil || port == 0 {
		return e, 0, fmt.Errorf("%w: port %q", errCandidate, field[5])
	}
	e.id, e.tag, e.port = uint8(id), uint32(tag), uint16(port)
	return e, uint32(p), nil
}

// candidate prints one of our ends as the official engine does.
func (e end) candidate(foundation string, priority uint32) string {
	return fmt.Sprintf("candidate:%s %d udp %d %s%d-%d%s %d typ relay generation 0",
		foundation, ice.ComponentRTP, priority, reflectorName, e.id, e.tag, reflectorDomain, e.port)
}

// remoteCandidate is the peer's end as the ICE agent knows it.
func (e end) remoteCandidate(priority uint32) (ice.Candidate, error) {
	a := e.address()
	return newRemote("relay", a.Addr().String(), int(a.Port()), priority)
}
