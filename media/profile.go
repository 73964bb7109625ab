package media

// Profile says how audio is encoded into Opus.
type Profile uint8

// The profiles.
const (
	Auto   Profile = iota // Lean, and Robust for as long as the phone reports loss
	Lean                  // CELT low delay, complexity 0: a fifth of the CPU and 4 ms less delay, no redundancy
	Robust                // SILK with in-band redundancy (FEC) for 10 % loss
)

// String returns the profile's name in logs.
func (p Profile) String() string {
	switch p {
	case Auto:
		return "auto"
	case Lean:
		return "lean"
	case Robust:
		return "robust"
	}
	return "unknown"
}

// encoderSettings is what a profile means to libopus.
type encoderSettings struct {
	speech      bool // VOIP application (SILK) rather than restricted low delay (CELT)
	complexity  int
	bitrate     int // bit/s
	lossPercent int // how much loss the redundancy is made for; 0: none
}

// settingsOf holds the choice that was measured: at these rates CELT at complexity 0 is spectrally nearer to its
// input than SILK at complexity 5, at a fifth of the CPU.
func settingsOf(p Profile, rate int) encoderSettings {
	if p == Robust {
		return encoderSettings{speech: true, complexity: 5, bitrate: 24_000, lossPercent: 10}
	}
	s := encoderSettings{bitrate: 32_000}
	switch {
	case rate > 16_000:
		s.bitrate = 48_000
	case rate > 8_000:
		s.bitrate = 40_000
	}
	return s
}

// opusRate says whether libopus encodes from and decodes to rate without a resampler.
func opusRate(rate int) bool {
	switch rate {
	case 8_000, 12_000, 16_000, 24_000, 48_000:
		return true
	}
	return false
}
