package esl

import (
	"strconv"

	"github.com/tgtrunk/tgtrunk/routing"
)

// The events that are asked for. Those of calls are wanted of every channel: whose it is is told by its uuid.
const subscription = "CHANNEL_PARK CHANNEL_UNPARK CHANNEL_ANSWER CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_BRIDGE " +
	"CHANNEL_UNBRIDGE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_HANGUP_COMPLETE DTMF BACKGROUND_JOB HEARTBEAT SHUTDOWN"

// event is one event of FreeSWITCH.
type event struct {
	name   string // Event-Name
	id     string // Unique-ID of the channel it is about; "" for none
	other  string // Unique-ID of the channel that one is bridged with; "" for none
	half   string // Unique-ID of the other half of a loopback channel; "" for other channels
	header map[string]string
}

func newEvent(header map[string]string) event {
	return event{name: header["Event-Name"], id: header["Unique-ID"], other: header["Other-Leg-Unique-ID"],
		half: header["variable_other_loopback_leg_uuid"], header: header}
}

// variable returns a channel variable that the event carries.
func (e event) variable(name string) string { return e.header["variable_"+name] }

// inDialplan reports whether an action of the dialplan has parked the channel of a CHANNEL_PARK. One that parks because
// its bridge is over, or because it was told to by uuid_park, is in CS_PARK.
func (e event) inDialplan() bool { return e.header["Channel-State"] == "CS_EXECUTE" }

// profile counts the ways a channel has taken: each transfer, and each bridge by uuid_bridge, is one more. 0 for one that
// the event does not tell.
func (e event) profile() int {
	n, err := strconv.Atoi(e.header["Caller-Profile-Index"])
	if err != nil {
		return 0
	}
	return n
}

// heldBySocket reports whether the channel is parked inside the socket application, and is that connection's.
func (e event) heldBySocket() bool { return e.variable("current_application") == "socket" }

// hungUp reports whether the channel is on its way out.
func (e event) hungUp() bool { return e.header["Answer-State"] == "hangup" }

// answered reports whether the channel is answered.
func (e event) answered() bool { return e.header["Answer-State"] == "answered" }

// talksTo returns who the channel is bridged with, as far as the event tells: who was called is a callee, and who has
// called, as in the middle of an attended transfer, a caller.
func (e event) talksTo() routing.Party {
	if e.other == "" || !e.answered() {
		return routing.Party{}
	}
	role := "Other-Leg-Callee-ID-"
	if e.header["Other-Leg-Direction"] == "inbound" {
		role = "Other-Leg-Caller-ID-"
	}
	p := routing.Party{Number: routing.SanitizeName(e.header[role+"Number"]), Name: routing.SanitizeName(e.header[role+"Name"])}
	if p.Name == nobody || p.Name == p.Number { // what FreeSWITCH says of somebody without a name
		p.Name = ""
	}
	return p
}
