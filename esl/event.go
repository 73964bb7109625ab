package esl

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

// answered reports whether the channel is answered.
func (e event) answered() bool { return e.header["Answer-State"] == "answered" }
