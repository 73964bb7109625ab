package esl

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// deafSocket fails whenever it is read.
type deafSocket struct{ reads atomic.Int64 }

func (s *deafSocket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	s.reads.Add(1)
	return 0, netip.AddrPort{}, syscall.ENOBUFS
}

func (*deafSocket) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }
func (*deafSocket) LocalAddr() net.Addr                                        { return &net.UDPAddr{} }
func (*deafSocket) Close() error                                               { return nil }

// An error of the socket that lasts is met once a packet's time, and the flow still ends at once.
func TestUnicastSocketThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s deafSocket
		f := newUnicastFlow(&s, netip.MustParseAddrPort("127.0.0.1:4000"))
		time.Sleep(time.Second)
		synctest.Wait()
		if n := s.reads.Load(); n < 40 || n > 60 {
			t.Errorf("it was read %d times in a second", n)
		}
		began := time.Now()
		if err := f.Close(); err != nil || time.Since(began) > 0 {
			t.Errorf("closing took %v: %v", time.Since(began), err)
		}
	})
}
