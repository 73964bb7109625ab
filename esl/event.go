package esl

import "strconv"

// The events that are asked for. Those of calls are wanted of every channel: whose it is is told by its uuid.
const subscription = "CHANNEL_PARK CHANNEL_ANSWER CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_BRIDGE " +
	"CHANNEL_UNBRIDGE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_HANGUP_COMPLETE DTMF BACKGROUND_JOB HEARTBEAT SHUTDOWN"

// event is one event of FreeSWITCH.
type event struct {
	name   string // Event-Name
	id     string // Unique-ID of the channel it is about; "" for none
	other  string // Unique-ID of the channel that one is bridged with; "" for none
	header map[string]string
}

func newEvent(header map[string]string) event {
	return event{name: header["Event-Name"], id: header["Unique-ID"], other: header["Other-Leg-Unique-ID"], header: header}
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

// answered reports whether the channel is answered.
func (e event) answered() bool { return e.header["Answer-State"] == "answered" }
