package bridge

// weight says how much a failed attempt tells about the person who was called. A caller who tried several ways is told
// the weightiest verdict: that an account had spent its budget is of no interest to somebody whose callee is busy.
func weight(r Reason) int {
	switch r {
	case "":
		return 0
	case Flood, PeerFlood, Budget, AccountDown, Congestion, Occupied, Failure:
		return 1 // about ourselves: nothing is known of the callee
	case NoDialog, NotFound, NoRoute, Self:
		return 2 // nobody there by this way
	}
	return 3 // about somebody who exists
}

// heavier returns what to tell a caller after two attempts, of which c was the earlier: the weightier verdict, the
// later one of equals. Of two limits it is the one that is known to end first.
func (c Cause) heavier(later Cause) Cause {
	switch a, b := weight(c.Reason), weight(later.Reason); {
	case a > b:
		return c
	case a == b && c.RetryAfter > 0 && (later.RetryAfter == 0 || later.RetryAfter > c.RetryAfter):
		return c
	}
	return later
}
