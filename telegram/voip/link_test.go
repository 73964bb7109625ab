package voip

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/pion/stun/v4"
)

// An answer that takes long is still an answer: a call with many candidates asks a hundred times before it comes.
func TestAnswersToOldChecksArrive(t *testing.T) {
	far, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	to := far.LocalAddr().(*net.UDPAddr).AddrPort()
	n := loopbackNet(t, 1)
	l := newLink(n.pick(), newFlow(), newDTLSPort(new(atomic.Pointer[path])))
	defer l.close()
	local := net.UDPAddrFromAddrPort(n.Addresses()[0])
	mapped, err := l.open("us", local, true)
	if err != nil {
		t.Fatal(err)
	}
	host, err := l.open("us", local, false)
	if err != nil {
		t.Fatal(err)
	}
	check := func(p *port) transaction {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		if _, err := p.WriteToAddrPort(m.Raw, to); err != nil {
			t.Fatal(err)
		}
		return m.TransactionID
	}
	answer := func(id transaction, from netip.AddrPort) {
		l.takeResponse(stun.MustBuild(stun.NewTransactionIDSetter(id), stun.BindingSuccess).Raw, id, from)
	}
	recent := check(mapped)
	answer(recent, to)
	if len(mapped.queue) != 1 || len(host.queue) != 0 {
		t.Errorf("a fresh answer: %d for the port that asked, %d for the other", len(mapped.queue), len(host.queue))
	}
	old := check(host)
	for range 150 {
		check(host)
	}
	answer(old, to)
	if len(host.queue) != 1 {
		t.Error("an answer was lost because it took long")
	}
	answer(old, netip.MustParseAddrPort("[2001:db8::1]:9"))
	if len(host.queue) != 1 || len(mapped.queue) != 1 {
		t.Error("an answer came to a port of another family")
	}
}
