package pbx

import "github.com/tgtrunk/tgtrunk/bridge"

// StatusOf says a reason with the words of Asterisk's DIALSTATUS, for dialplans that know those already: TGTRUNK_STATUS,
// which means the same behind every PBX.
func StatusOf(r bridge.Reason) string {
	switch r {
	case bridge.Busy, bridge.Declined, bridge.Elsewhere, bridge.Occupied:
		return "BUSY"
	case bridge.NoAnswer:
		return "NOANSWER"
	case bridge.Cancelled, bridge.Normal:
		return "CANCEL"
	case bridge.Flood, bridge.PeerFlood, bridge.Budget, bridge.Congestion:
		return "CONGESTION"
	}
	return "CHANUNAVAIL"
}
