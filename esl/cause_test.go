package esl

import (
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// causeNames is what FreeSWITCH 1.10.12 may say of the end of a call ("show hangup causes" of its switch_channel.c).
const causeNames = `
	NONE UNALLOCATED_NUMBER NO_ROUTE_TRANSIT_NET NO_ROUTE_DESTINATION CHANNEL_UNACCEPTABLE CALL_AWARDED_DELIVERED
	NORMAL_CLEARING USER_BUSY NO_USER_RESPONSE NO_ANSWER SUBSCRIBER_ABSENT CALL_REJECTED NUMBER_CHANGED
	REDIRECTION_TO_NEW_DESTINATION EXCHANGE_ROUTING_ERROR DESTINATION_OUT_OF_ORDER INVALID_NUMBER_FORMAT
	FACILITY_REJECTED RESPONSE_TO_STATUS_ENQUIRY NORMAL_UNSPECIFIED NORMAL_CIRCUIT_CONGESTION NETWORK_OUT_OF_ORDER
	NORMAL_TEMPORARY_FAILURE SWITCH_CONGESTION ACCESS_INFO_DISCARDED REQUESTED_CHAN_UNAVAIL PRE_EMPTED
	FACILITY_NOT_SUBSCRIBED OUTGOING_CALL_BARRED INCOMING_CALL_BARRED BEARERCAPABILITY_NOTAUTH
	BEARERCAPABILITY_NOTAVAIL SERVICE_UNAVAILABLE BEARERCAPABILITY_NOTIMPL CHAN_NOT_IMPLEMENTED
	FACILITY_NOT_IMPLEMENTED SERVICE_NOT_IMPLEMENTED INVALID_CALL_REFERENCE INCOMPATIBLE_DESTINATION
	INVALID_MSG_UNSPECIFIED MANDATORY_IE_MISSING MESSAGE_TYPE_NONEXIST WRONG_MESSAGE IE_NONEXIST INVALID_IE_CONTENTS
	WRONG_CALL_STATE RECOVERY_ON_TIMER_EXPIRE MANDATORY_IE_LENGTH_ERROR PROTOCOL_ERROR INTERWORKING SUCCESS
	ORIGINATOR_CANCEL CRASH SYSTEM_SHUTDOWN LOSE_RACE MANAGER_REQUEST BLIND_TRANSFER ATTENDED_TRANSFER
	ALLOTTED_TIMEOUT USER_CHALLENGE MEDIA_TIMEOUT PICKED_OFF USER_NOT_REGISTERED PROGRESS_TIMEOUT INVALID_GATEWAY
	GATEWAY_DOWN INVALID_URL INVALID_PROFILE NO_PICKUP SRTP_READ_ERROR BOWOUT BUSY_EVERYWHERE DECLINE
	DOES_NOT_EXIST_ANYWHERE NOT_ACCEPTABLE UNWANTED NO_IDENTITY BAD_IDENTITY_INFO UNSUPPORTED_CERTIFICATE
	INVALID_IDENTITY STALE_DATE REJECT_ALL
`

// TestEveryCauseHasAVerdict: whatever FreeSWITCH says of a call, in a job's result or as a channel's cause, is mapped.
func TestEveryCauseHasAVerdict(t *testing.T) {
	known := map[string]bool{}
	for name := range strings.FieldsSeq(causeNames) {
		known[name] = true
		v, mapped := verdicts[name]
		if !mapped {
			t.Errorf("%s has no verdict", name)
			continue
		}
		for _, answer := range []string{name, "-ERR " + name, "-ERR " + name + "\n", " -ERR " + name + " more"} {
			if got := failedDial(answer); got != (bridge.Cause{Q850: v.q850, Reason: v.reason}) {
				t.Errorf("%q is %v, want %v %d", answer, got, v.reason, v.q850)
			}
		}
		// What is told to the other side of the call: a cause that a PBX knows, and no success.
		told := bridge.CauseOf(v.reason)
		if v.q850 == 0 || v.q850 > 127 || told.Reason != v.reason || v.reason == bridge.Normal || farewells[v.reason].name == "" {
			t.Errorf("%s is %v, told as %v %s", name, v, told, farewellOf(told).name)
		}
		if c := clearing(name); c.Q850 == 0 || c.Reason != bridge.Normal && c.Reason != bridge.Failure {
			t.Errorf("%s after the answer is %v", name, c)
		}
		if !known[farewellOf(told).name] && !strings.Contains(causeNames, farewellOf(told).name) {
			t.Errorf("%s is no cause of FreeSWITCH", farewellOf(told).name)
		}
	}
	for name, v := range verdicts {
		// A PBX that says the number means the same. What is normal says nothing of a call that was not answered, and 38 is
		// the house's own for whatever has no better number.
		if byNumber := bridge.CauseFromQ850(v.q850).Reason; byNumber != v.reason && byNumber != bridge.Normal && v.q850 != 38 {
			t.Errorf("%s is %v, and %d is %v", name, v.reason, v.q850, byNumber)
		}
		if !known[name] {
			t.Errorf("%s is no cause of FreeSWITCH", name)
		}
	}
	for _, answer := range []string{"", "-ERR", "-USAGE: originate", "+OK", "-ERR SOMETHING_NEW"} {
		if got := failedDial(answer); got != bridge.CauseOf(bridge.Failure) {
			t.Errorf("%q is %v", answer, got)
		}
	}
}
