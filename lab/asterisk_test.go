package lab

import (
	"os"
	"testing"
)

func TestStartAsterisk(t *testing.T) {
	a, err := StartAsterisk(t.Context(), AsteriskOptions{Dir: t.TempDir(), Endpoints: []SIPEndpoint{{Name: "alice", ContactPort: 15999}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	n, err := a.Channels(t.Context())
	if err != nil || n != 0 {
		t.Errorf("channels = %d, %v", n, err)
	}
	out, err := a.CLI(t.Context(), "pjsip show endpoints")
	t.Log(out, err)
	_ = a.WriteLogTail(os.Stderr, 20000)
	t.Log(a.consoleTail())
}
