package voip

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// A fixed port is the first of as many as there are sockets, as tgtrunk.yaml says for firewalls; where one of them is
// taken the error names it.
func TestFixedPorts(t *testing.T) {
	for range 20 { // somebody else may take the ports between looking and listening
		first := freePort(t)
		n, err := ListenNet(NetOptions{Listen: fmt.Sprintf("127.0.0.1:%d", first), Shards: 2})
		if err != nil {
			continue
		}
		defer n.Close()
		for i, a := range n.Addresses() {
			if int(a.Port()) != first+i {
				t.Errorf("socket %d is %v, want port %d", i+1, a, first+i)
			}
		}
		_, err = ListenNet(NetOptions{Listen: fmt.Sprintf("127.0.0.1:%d", first), Shards: 2})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("127.0.0.1:%d, socket 1 of 2", first)) {
			t.Errorf("a port that is taken: %v", err)
		}
		return
	}
	t.Error("no two ports in a row are free")
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}
