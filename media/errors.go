package media

import "errors"

var (
	// ErrNoOpus: this build has no libopus (built without cgo), so Opus can only be passed through.
	ErrNoOpus = errors.New("opus needs a build with cgo and libopus: only passthrough is available")
	// ErrFormat: a Format that does not exist, or two that cannot be converted into each other.
	ErrFormat = errors.New("unsupported audio format")
	// ErrNoWheel: a conversion that paces slices, without a Wheel in the Options.
	ErrNoWheel = errors.New("no pacing wheel given")
	// ErrMalformed: audio that is not what its codec allows.
	ErrMalformed = errors.New("malformed audio")
	// ErrClosed: the port or flow has been closed.
	ErrClosed = errors.New("audio port closed")
)
