package voip

import "log/slog"

// NetOptions shapes a Net.
type NetOptions struct {
	Listen   string       // UDP address, "" for any port of every interface; with several shards a fixed port is the first of as many
	Shards   int          // sockets; default min(2, GOMAXPROCS)
	Loopback bool         // offer loopback addresses like any other; without it only where there is no other
	Log      *slog.Logger // nil discards
}

// Net is the UDP sockets that all direct calls of the process share.
type Net struct{}

// ListenNet opens the sockets.
func ListenNet(o NetOptions) (*Net, error) { return &Net{}, nil }

// Close closes the sockets. Engines that still run on them fail with ErrNetClosed.
func (n *Net) Close() {}
