package pbx

// Ringback is how a caller at a PBX learns what becomes of his call before it is answered.
type Ringback string

const (
	// Signal leaves the tone to the caller's own switch or phone: nothing while the called user is looked for, ringing
	// (SIP 180) once he is alerted.
	Signal Ringback = "signal"
	// Media plays tones as early media (SIP 183): one while the called user is looked for, another once he is alerted.
	Media Ringback = "media"
)

// Valid reports whether it is one of the two.
func (r Ringback) Valid() bool { return r == Signal || r == Media }

// Tone is a repeated burst of one frequency.
type Tone struct {
	Hz      int
	On, Off int // ms
}

// SearchTone is what is heard while the called user is looked for. It and RingTone are those of most networks (ITU-T E.180
// supplement 2).
func SearchTone() Tone { return Tone{Hz: 425, On: 50, Off: 950} }

// RingTone is what is heard while the called user is alerted.
func RingTone() Tone { return Tone{Hz: 425, On: 1000, Off: 4000} }
