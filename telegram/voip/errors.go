package voip

import "errors"

// Errors of New and ListenNet.
var (
	ErrConfig  = errors.New("incomplete engine configuration")
	ErrMTProto = errors.New("custom parameter network_use_mtproto is not supported: the peer's media would not be DTLS-SRTP")
	ErrRunning = errors.New("engine has been run before")
)

// Errors of Run: the transport of the call has failed for good.
var (
	ErrNoPeer      = errors.New("peer sent no usable signalling in time")
	ErrNoConnect   = errors.New("no connection to the peer in time")
	ErrLost        = errors.New("connection to the peer is lost")
	ErrFingerprint = errors.New("peer's certificate does not match the signalled fingerprint")
	ErrDTLS        = errors.New("dtls handshake failed")
	ErrNetClosed   = errors.New("shared sockets are closed")
)
