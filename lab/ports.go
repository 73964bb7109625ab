package lab

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
)

// PortRange is an inclusive range of UDP ports. The zero value means that one is picked.
type PortRange struct{ First, Last int }

// FreeUDPPort returns a loopback UDP port that nobody used a moment ago. Somebody else may take it before the caller.
func FreeUDPPort() (int, error) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free udp port: %w", err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

// FreeTCPPort returns a loopback TCP port that nobody used a moment ago. Somebody else may take it before the caller.
func FreeTCPPort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free tcp port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// checkPorts says which of two loopback ports is taken; 0 is none.
func checkPorts(tcp, udp int) error {
	if tcp != 0 {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp})
		if err != nil {
			return fmt.Errorf("tcp port %d: %w: %w", tcp, errPortTaken, err)
		}
		_ = l.Close()
	}
	if udp != 0 {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: udp})
		if err != nil {
			return fmt.Errorf("udp port %d: %w: %w", udp, errPortTaken, err)
		}
		_ = c.Close()
	}
	return nil
}

// freeRTPRange picks 1000 ports below the ephemeral ones. Two ranges may overlap: Asterisk tries the next port when
// one is taken.
func freeRTPRange() PortRange {
	first := 10000 + 2*rand.IntN(10000)
	return PortRange{First: first, Last: first + 999}
}

// claimRTPRange picks 400 ports below the ephemeral ones that no other FreeSWITCH of a lab on this machine has: two of them
// bind the same UDP port without complaint, and take each other's audio. A TCP port of the range, which RTP does not
// need, is the claim; closing it gives the range back.
func claimRTPRange() (net.Listener, PortRange, error) {
	const size, ranges, lowest = 400, 25, 21000
	begin := rand.IntN(ranges)
	var err error
	for i := range ranges {
		first := lowest + size*((begin+i)%ranges)
		var claim net.Listener
		if claim, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: first}); err == nil {
			return claim, PortRange{First: first, Last: first + size - 2}, nil
		}
	}
	return nil, PortRange{}, fmt.Errorf("find free ports for rtp: %w", err)
}

// onFreePorts calls start, which picks its ports, and again when one that was free as it was picked has been taken since.
func onFreePorts(log *slog.Logger, start func() error) error {
	for attempt := 1; ; attempt++ {
		err := start()
		if err == nil || !errors.Is(err, errPortTaken) || attempt == 3 {
			return err
		}
		log.Warn("port taken by somebody else, trying others", "err", err)
	}
}
