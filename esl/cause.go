package esl

import (
	"strconv"
	"strings"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// verdict is what one of FreeSWITCH's cause names means before the answer.
type verdict struct {
	q850   bridge.Q850
	reason bridge.Reason
}

// verdicts holds every name of switch_channel.c's CAUSE_CHART (1.10.12), for a call that ends before it is answered. A name
// of a later version that is not here is a failure.
var verdicts = map[string]verdict{
	"UNALLOCATED_NUMBER":        {1, bridge.NoRoute},
	"NO_ROUTE_TRANSIT_NET":      {2, bridge.NoRoute},
	"NO_ROUTE_DESTINATION":      {3, bridge.NoRoute},
	"NORMAL_CLEARING":           {16, bridge.NoAnswer}, // the dialplan came to its end without a word why
	"USER_BUSY":                 {17, bridge.Busy},
	"BUSY_EVERYWHERE":           {17, bridge.Busy},
	"NO_USER_RESPONSE":          {18, bridge.Unreachable},
	"NO_ANSWER":                 {19, bridge.NoAnswer},
	"ALLOTTED_TIMEOUT":          {19, bridge.NoAnswer},
	"PROGRESS_TIMEOUT":          {18, bridge.Unreachable},
	"SUBSCRIBER_ABSENT":         {20, bridge.Unreachable},
	"USER_NOT_REGISTERED":       {20, bridge.Unreachable},
	"CALL_REJECTED":             {21, bridge.Declined},
	"DECLINE":                   {21, bridge.Declined},
	"UNWANTED":                  {21, bridge.Declined},
	"INCOMING_CALL_BARRED":      {21, bridge.Declined},
	"OUTGOING_CALL_BARRED":      {21, bridge.Declined},
	"NUMBER_CHANGED":            {22, bridge.NoRoute},
	"LOSE_RACE":                 {26, bridge.Elsewhere},
	"PICKED_OFF":                {26, bridge.Elsewhere},
	"DESTINATION_OUT_OF_ORDER":  {27, bridge.Unreachable},
	"INVALID_NUMBER_FORMAT":     {28, bridge.BadNumber},
	"FACILITY_REJECTED":         {29, bridge.Failure},
	"NORMAL_UNSPECIFIED":        {31, bridge.NoAnswer},
	"NORMAL_CIRCUIT_CONGESTION": {34, bridge.Congestion},
	"NETWORK_OUT_OF_ORDER":      {38, bridge.Failure},
	"NORMAL_TEMPORARY_FAILURE":  {41, bridge.Failure},
	"SWITCH_CONGESTION":         {42, bridge.Congestion},
	"REQUESTED_CHAN_UNAVAIL":    {44, bridge.Congestion},
	"INVALID_GATEWAY":           {3, bridge.NoRoute},
	"INVALID_PROFILE":           {3, bridge.NoRoute},
	"INVALID_URL":               {3, bridge.NoRoute},
	"CHAN_NOT_IMPLEMENTED":      {66, bridge.NoRoute},
	"DOES_NOT_EXIST_ANYWHERE":   {1, bridge.NoRoute},
	"GATEWAY_DOWN":              {27, bridge.Unreachable},
	"BEARERCAPABILITY_NOTAUTH":  {57, bridge.MediaFailed},
	"BEARERCAPABILITY_NOTAVAIL": {58, bridge.MediaFailed},
	"BEARERCAPABILITY_NOTIMPL":  {65, bridge.MediaFailed},
	"INCOMPATIBLE_DESTINATION":  {88, bridge.MediaFailed},
	"NOT_ACCEPTABLE":            {88, bridge.MediaFailed},
	"RECOVERY_ON_TIMER_EXPIRE":  {102, bridge.Unreachable},
	"ORIGINATOR_CANCEL":         {16, bridge.Cancelled},
	"MANAGER_REQUEST":           {38, bridge.Failure},
	"SYSTEM_SHUTDOWN":           {41, bridge.Failure},
	"EXCHANGE_ROUTING_ERROR":    {25, bridge.NoRoute},
	"SERVICE_UNAVAILABLE":       {63, bridge.Failure},
	"MANDATORY_IE_MISSING":      {96, bridge.Failure},
	"INTERWORKING":              {127, bridge.Failure},

	// Seldom, or never before an answer.
	"NONE":                           {38, bridge.Failure},
	"SUCCESS":                        {38, bridge.Failure},
	"CHANNEL_UNACCEPTABLE":           {6, bridge.Failure},
	"CALL_AWARDED_DELIVERED":         {7, bridge.Failure},
	"REDIRECTION_TO_NEW_DESTINATION": {23, bridge.NoRoute},
	"RESPONSE_TO_STATUS_ENQUIRY":     {30, bridge.Failure},
	"ACCESS_INFO_DISCARDED":          {43, bridge.Failure},
	"PRE_EMPTED":                     {45, bridge.Congestion},
	"FACILITY_NOT_SUBSCRIBED":        {50, bridge.Failure},
	"FACILITY_NOT_IMPLEMENTED":       {69, bridge.Failure},
	"SERVICE_NOT_IMPLEMENTED":        {79, bridge.Failure},
	"INVALID_CALL_REFERENCE":         {81, bridge.Failure},
	"INVALID_MSG_UNSPECIFIED":        {95, bridge.Failure},
	"MESSAGE_TYPE_NONEXIST":          {97, bridge.Failure},
	"WRONG_MESSAGE":                  {98, bridge.Failure},
	"IE_NONEXIST":                    {99, bridge.Failure},
	"INVALID_IE_CONTENTS":            {100, bridge.Failure},
	"WRONG_CALL_STATE":               {101, bridge.Failure},
	"MANDATORY_IE_LENGTH_ERROR":      {103, bridge.Failure},
	"PROTOCOL_ERROR":                 {111, bridge.Failure},
	"CRASH":                          {41, bridge.Failure},
	"BLIND_TRANSFER":                 {31, bridge.NoAnswer},
	"ATTENDED_TRANSFER":              {31, bridge.NoAnswer},
	"BOWOUT":                         {31, bridge.Failure},
	"MEDIA_TIMEOUT":                  {38, bridge.MediaFailed},
	"SRTP_READ_ERROR":                {38, bridge.MediaFailed},
	"NO_PICKUP":                      {19, bridge.NoAnswer},
	"REJECT_ALL":                     {21, bridge.Declined},
	// The far end wants to know who calls, and does not believe it (SIP 401, 407, 428, 436 to 438, 403).
	"USER_CHALLENGE":          {21, bridge.Declined},
	"NO_IDENTITY":             {21, bridge.Declined},
	"BAD_IDENTITY_INFO":       {21, bridge.Declined},
	"UNSUPPORTED_CERTIFICATE": {21, bridge.Declined},
	"INVALID_IDENTITY":        {21, bridge.Declined},
	"STALE_DATE":              {21, bridge.Declined},
}

// failedDial says why an outbound call ended before it was answered: from the job's answer ("-ERR USER_BUSY"), or from
// the channel's hang-up cause.
func failedDial(answer string) bridge.Cause {
	v, known := verdicts[causeName(answer)]
	if !known {
		return bridge.CauseOf(bridge.Failure)
	}
	return bridge.Cause{Q850: v.q850, Reason: v.reason}
}

// causeName returns the name of the cause in a job's answer.
func causeName(answer string) string {
	name := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(answer), "-ERR"))
	name, _, _ = strings.Cut(name, " ")
	return name
}

// clearing returns the cause of a call that was up. Whatever a party says when it hangs up is ordinary clearing, except
// causes that tell of a failure of the network or of FreeSWITCH.
func clearing(cause string) bridge.Cause {
	switch cause {
	case "SYSTEM_SHUTDOWN", "NETWORK_OUT_OF_ORDER", "NORMAL_TEMPORARY_FAILURE", "SWITCH_CONGESTION", "MEDIA_TIMEOUT",
		"DESTINATION_OUT_OF_ORDER", "RECOVERY_ON_TIMER_EXPIRE", "CRASH":
		code := verdicts[cause].q850
		if code == 0 {
			code = bridge.CauseOf(bridge.Failure).Q850
		}
		return bridge.Cause{Q850: code, Reason: bridge.Failure}
	}
	return bridge.CauseOf(bridge.Normal)
}

// varReason is what mod_sofia makes the Reason header (RFC 3326) of a CANCEL, a BYE or a refusal; without it that is the
// number of the hang-up cause.
const varReason = "sip_reason"

const (
	// completedElsewhere lets a phone that is cancelled list no missed call (3GPP TS 24.229).
	completedElsewhere = `SIP;cause=200;text="Call completed elsewhere"`
	// takenElsewhere is told to a caller: no name of FreeSWITCH's has the number 26.
	takenElsewhere = `Q.850;cause=26;text="Answered elsewhere"`
)

// farewell is how a channel is hung up.
type farewell struct {
	name string // FreeSWITCH's of the cause
	sip  int    // what the caller is told, where mod_sofia makes something else of the name; 0 where it does not
}

// farewells make mod_sofia answer a caller as the house table says (docs/operations.md), each measured on FreeSWITCH
// 1.10.12. No name becomes 500, and a refusal becomes 603.
var farewells = map[bridge.Reason]farewell{
	bridge.Normal:      {"NORMAL_CLEARING", 0},           // 480 before the answer
	bridge.Cancelled:   {"NORMAL_CLEARING", 0},           // nobody is left to hear it
	bridge.Flood:       {"SWITCH_CONGESTION", 0},         // 503
	bridge.PeerFlood:   {"SWITCH_CONGESTION", 0},         // 503
	bridge.Budget:      {"SWITCH_CONGESTION", 0},         // 503
	bridge.Unreachable: {"SUBSCRIBER_ABSENT", 0},         // 480
	bridge.NoAnswer:    {"NO_ANSWER", 0},                 // 480
	bridge.Busy:        {"USER_BUSY", 0},                 // 486
	bridge.Occupied:    {"USER_BUSY", 0},                 // 486
	bridge.Declined:    {"CALL_REJECTED", 403},           // 603
	bridge.Elsewhere:   {"CALL_REJECTED", 0},             // 603
	bridge.Self:        {"INCOMING_CALL_BARRED", 0},      // 403
	bridge.Privacy:     {"INCOMING_CALL_BARRED", 0},      // 403
	bridge.Blocked:     {"INCOMING_CALL_BARRED", 0},      // 403
	bridge.NoDialog:    {"UNALLOCATED_NUMBER", 0},        // 404
	bridge.NotFound:    {"UNALLOCATED_NUMBER", 0},        // 404
	bridge.NoRoute:     {"NO_ROUTE_DESTINATION", 0},      // 404
	bridge.BadNumber:   {"INVALID_NUMBER_FORMAT", 0},     // 484
	bridge.OldClient:   {"INCOMPATIBLE_DESTINATION", 0},  // 488
	bridge.MediaFailed: {"NETWORK_OUT_OF_ORDER", 500},    // 503
	bridge.AccountDown: {"DESTINATION_OUT_OF_ORDER", 0},  // 502
	bridge.Congestion:  {"NORMAL_CIRCUIT_CONGESTION", 0}, // 503
	bridge.Failure:     {"NETWORK_OUT_OF_ORDER", 500},    // 503
}

// farewellOf says how a channel is hung up for a cause.
func farewellOf(c bridge.Cause) farewell {
	if f, known := farewells[c.Reason]; known {
		return f
	}
	return farewells[bridge.Failure]
}

// response is the SIP code in the form in which mod_sofia's sofia_on_hangup reads it of varResponse; "" leaves the code to
// the name.
func (f farewell) response() string {
	if f.sip == 0 {
		return ""
	}
	return "sip:" + strconv.Itoa(f.sip)
}

// causeVariables are what the dialplan is told of the end of a call, and the header that goes with a refusal. Those that
// have no value are emptied: they may be of an attempt before, on the same channel.
func causeVariables(status string, c bridge.Cause) map[string]string {
	seconds := c.RetryAfterSeconds()
	set := map[string]string{
		"TGTRUNK_STATUS": status, "TGTRUNK_REASON": string(c.Reason), "TGTRUNK_CAUSE": strconv.Itoa(int(c.Q850)),
		"TGTRUNK_RETRY_AFTER": seconds, "sip_rh_Retry-After": seconds,
	}
	if c.Reason == bridge.Elsewhere {
		set[varReason] = takenElsewhere
	}
	return set
}
