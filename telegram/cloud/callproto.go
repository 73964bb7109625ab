package cloud

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gotd/td/tg"
)

// checkProtocol refuses what no client sends.
func checkProtocol(p tg.PhoneCallProtocol) error {
	switch {
	case !p.UDPP2P && !p.UDPReflector:
		return fail(400, "CALL_PROTOCOL_FLAGS_INVALID")
	case p.MinLayer <= 0 || p.MinLayer > p.MaxLayer:
		return fail(400, "CALL_PROTOCOL_LAYER_INVALID")
	}
	return nil
}

// merge is the protocol both sides have: the server ranks the library versions by number, whatever the order of the lists,
// and gives the best one that both know.
func merge(a, b tg.PhoneCallProtocol) (tg.PhoneCallProtocol, error) {
	m := tg.PhoneCallProtocol{
		UDPP2P: a.UDPP2P && b.UDPP2P, UDPReflector: a.UDPReflector && b.UDPReflector,
		MinLayer: max(a.MinLayer, b.MinLayer), MaxLayer: min(a.MaxLayer, b.MaxLayer),
	}
	var common []string
	for _, v := range a.LibraryVersions {
		if slices.Contains(b.LibraryVersions, v) {
			common = append(common, v)
		}
	}
	if len(common) == 0 || m.MinLayer > m.MaxLayer || !m.UDPP2P && !m.UDPReflector {
		return m, fail(406, "CALL_PROTOCOL_COMPAT_LAYER_INVALID")
	}
	m.LibraryVersions = []string{slices.MaxFunc(common, compareVersions)}
	return m, nil
}

// compareVersions orders "9.0.0" before "13.0.0".
func compareVersions(a, b string) int {
	return slices.Compare(versionNumbers(a), versionNumbers(b))
}

func versionNumbers(v string) []int {
	var numbers []int
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	return numbers
}
