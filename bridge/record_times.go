package bridge

import (
	"encoding/json"
	"time"
)

// Times are the moments of a call; zero for those that never came. Reached and Ringing are of the last attempt that got
// so far.
type Times struct {
	Offered      time.Time `json:"offered"`
	Reached      time.Time `json:"reached,omitzero"`       // the called device was found
	Ringing      time.Time `json:"ringing,omitzero"`       // the called party was alerted
	Answered     time.Time `json:"answered,omitzero"`      // the called party accepted
	DialledMedia time.Time `json:"dialled_media,omitzero"` // its audio was usable; the offering leg was told to answer
	OfferedMedia time.Time `json:"offered_media,omitzero"` // the offering leg's audio was usable
	Connected    time.Time `json:"connected,omitzero"`     // audio flowed both ways
	Ended        time.Time `json:"ended"`                  // both legs had ended
	SetupMS      int64     `json:"setup_ms,omitempty"`     // from Offered to Connected
	TalkMS       int64     `json:"talk_ms,omitempty"`      // from Connected to the first end
	RingMS       int64     `json:"ring_ms,omitempty"`      // from Ringing to Answered, or to the end where nobody answered
	TotalMS      int64     `json:"total_ms"`               // from Offered to Ended
}

// complete works out the lengths of time that follow from the moments.
func (t *Times) complete() {
	t.TotalMS = t.Ended.Sub(t.Offered).Milliseconds()
	if t.Ringing.IsZero() {
		return
	}
	until := t.Answered
	if until.Before(t.Ringing) { // nobody answered, or it is of an attempt before the last
		until = t.Ended
	}
	t.RingMS = until.Sub(t.Ringing).Milliseconds()
}

// moment is a time in a record: RFC 3339 with milliseconds, in UTC; "" for the zero time.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// MarshalJSON writes the moments with milliseconds, in UTC. They are read back as any RFC 3339.
func (t Times) MarshalJSON() ([]byte, error) {
	type lengths Times // the moments are hidden by the fields above them
	return json.Marshal(struct {
		Offered      string `json:"offered"`
		Reached      string `json:"reached,omitempty"`
		Ringing      string `json:"ringing,omitempty"`
		Answered     string `json:"answered,omitempty"`
		DialledMedia string `json:"dialled_media,omitempty"`
		OfferedMedia string `json:"offered_media,omitempty"`
		Connected    string `json:"connected,omitempty"`
		Ended        string `json:"ended,omitempty"` // not there in the record of a call that lives
		lengths
	}{
		moment(t.Offered), moment(t.Reached), moment(t.Ringing), moment(t.Answered), moment(t.DialledMedia), moment(t.OfferedMedia),
		moment(t.Connected), moment(t.Ended), lengths(t),
	})
}
