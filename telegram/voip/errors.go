package voip

import (
	"errors"
	"fmt"
)

// Errors of New and ListenNet.
var (
	ErrConfig  = errors.New("incomplete engine configuration")
	ErrRunning = errors.New("engine has been run before")
)

// ErrFailed is the base of Run's errors: the transport of the call has failed for good.
var ErrFailed = errors.New("call transport failed")

// Errors of Run.
var (
	ErrNoPeer      = fmt.Errorf("%w: peer sent no usable signalling in time", ErrFailed)
	ErrNoConnect   = fmt.Errorf("%w: no connection to the peer in time", ErrFailed)
	ErrLost        = fmt.Errorf("%w: connection to the peer is lost", ErrFailed)
	ErrFingerprint = fmt.Errorf("%w: peer's certificate does not match the signalled fingerprint", ErrFailed)
	ErrDTLS        = fmt.Errorf("%w: dtls handshake", ErrFailed)
	ErrNetClosed   = fmt.Errorf("%w: shared sockets are closed", ErrFailed)
)
