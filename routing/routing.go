package routing

import "time"

// Party is the person at one end of a call, as far as the trunk knows it. Empty fields are unknown.
type Party struct {
	UserID   int64  // Telegram user id
	Username string // Telegram username without '@'
	Phone    string // E.164 with '+'
	Number   string // what a PBX shows as caller-id number
	Name     string // display name; as received (unsanitised) in a Request, sanitised in a Target
	First    string // first and
	Last     string // last name of a Telegram user, as received
}

// Request is a call that asks for a route.
type Request struct {
	Trunk     string            // name of the trunk that offers the call
	Caller    Party             // who calls
	Dialled   string            // what was dialled, as received; empty where the trunk itself is the destination
	Variables map[string]string // facts of the offering trunk, for rules and for the far channel

	// Place is where an account wants its call to enter the PBX, before the place that its rule says is tried: an
	// extension that the administrator lets people have. The zero Place is none.
	Place Place

	// Remembered is what the offering trunk, a PBX, was shown of users whom Dialled may mean (Presented); what was shown
	// last comes first.
	Remembered []Presented
}

// Place is an extension of a PBX. Without a Context it is in that of the rule.
type Place struct{ Context, Extension string }

// Target is one destination of a Plan.
type Target struct {
	Trunk string // name of the trunk to dial

	Number Number   // for a Telegram account: whom to call,
	Others []Number // and other ways to the same person, in order, where the account does not know Number

	Context   string // for a PBX: dialplan context and
	Extension string // extension to enter, or
	Endpoint  string // an endpoint to ring directly ("PJSIP/100"), which wins over Context and Extension

	Caller    Party             // who calls, as the called side should see it
	ShownBy   string            // for a PBX: the caller-ID rule that wrote Caller.Number; "" where none did
	Presented *Presented        // for a PBX: what it is shown of a Telegram user, worth remembering; nil for nothing
	Variables map[string]string // channel variables to set before the dialplan runs
	Timeout   time.Duration     // how long it may ring before NoAnswer; 0 leaves it to the exchange's default
	ReachedIn time.Duration     // for a Telegram account: until a device has the call; 0 leaves it to the account
	Offline   Offline           // for a Telegram account: what to do for somebody who could not be reached
	Pool      int               // targets in a row with the same number, not 0, are equals: the best one is tried first
}

// Offline is what an account does for somebody none of whose devices has received a call, beside telling the PBX.
type Offline string

// The ways.
const (
	OfflineAccount Offline = ""        // as the account's own settings say
	OfflineCall    Offline = "call"    // the call was all: nothing is written
	OfflineMessage Offline = "message" // write that somebody has called
)

// Plan is a routing decision: targets that are tried in order. A Plan has at least one target.
type Plan struct {
	Rule    string  // the rule that decided, for log and record
	Line    int     // of it in the configuration file; 0 where unknown
	Matched Matched // what gave the dialled text its meaning; "" where it was not read as a number
	How     string  // the same in words
	Targets []Target
	Denied  []Denied // targets that were left out, because their accounts do not let the caller
}
