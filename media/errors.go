package media

import "errors"

var (
	// ErrNoOpus says that this build has no libopus (built without cgo), so Opus can only be passed through.
	ErrNoOpus = errors.New("opus needs a build with cgo and libopus: only passthrough is available")
	// ErrFormat is about a Format that does not exist, or two that cannot be converted into each other.
	ErrFormat = errors.New("unsupported audio format")
	// ErrNoWheel says that a conversion that paces slices has no Wheel in its Options.
	ErrNoWheel = errors.New("no pacing wheel given")
	// ErrMalformed is about audio that is not what its codec allows.
	ErrMalformed = errors.New("malformed audio")
	// ErrClosed says that the port or flow has been closed.
	ErrClosed = errors.New("audio port closed")
)
