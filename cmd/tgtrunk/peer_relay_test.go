package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/reflector"
)

// peerProcess is `tgtrunk peer` as a process of its own.
type peerProcess struct {
	cmd             *exec.Cmd
	out, complaints bytes.Buffer
}

// startPeerProcesses starts the two sides of a call, each of which reads what the other one writes.
func startPeerProcesses(ctx context.Context, t *testing.T, args [2][]string) [2]*peerProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var all [2]*peerProcess
	var inputs [2]io.WriteCloser
	for i := range all {
		p := &peerProcess{cmd: exec.CommandContext(ctx, self, append([]string{"peer"}, args[i]...)...)}
		p.cmd.Env = append(os.Environ(), asProgram+"=1")
		p.cmd.Stderr = &p.complaints
		p.cmd.WaitDelay = time.Second
		if inputs[i], err = p.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		all[i] = p
	}
	for i, p := range all {
		p.cmd.Stdout = io.MultiWriter(&p.out, deafPipe{inputs[1-i]})
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.cmd.Cancel() }) // for a test that stops early
	}
	return all
}

// deafPipe goes on when the reader has ended: the last words of the side that ends later go nowhere.
type deafPipe struct{ io.Writer }

func (d deafPipe) Write(b []byte) (int, error) {
	_, _ = d.Writer.Write(b)
	return len(b), nil
}

// peerServer is an entry of --server for a reflector.
func peerServer(at netip.AddrPort, tag reflector.Tag, protocol string) []string {
	return []string{"--server", fmt.Sprintf(`{"id":1,"host":%q,"port":%d,"peer_tag":%q,"tcp":%v}`,
		at.Addr(), at.Port(), hex.EncodeToString(tag[:]), protocol == "tcp")}
}

// Two calls at once, of two processes each, over one reflector: sound passes both ways, through the protocol that was
// asked for, and every end of every call has a socket of its own.
func TestPeerProcessesOverAReflector(t *testing.T) {
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
	for _, c := range []struct{ protocol, parameters string }{
		{"udp", ""}, {"tcp", ""},
		{"udp", `{"network_standalone_reflectors":true}`}, {"tcp", `{"network_use_mtproto":true}`},
	} {
		t.Run(strings.TrimSpace(c.protocol+" "+c.parameters), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			sources := map[netip.AddrPort]bool{}
			server, err := reflector.Listen(reflector.Options{Lose: func(from netip.AddrPort) bool {
				mu.Lock()
				defer mu.Unlock()
				sources[from] = true
				return false
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- server.Run(ctx) }()
			defer func() {
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			const calls = 2
			var talking sync.WaitGroup
			for i := range calls {
				talking.Go(func() {
					t.Run(fmt.Sprint("call ", i), func(t *testing.T) { relayedPeers(ctx, t, server, c.protocol, c.parameters) })
				})
			}
			talking.Wait()
			mu.Lock()
			defer mu.Unlock()
			if len(sources) != 2*calls {
				t.Errorf("%d calls come from %v", calls, sources)
			}
			counts := server.Counts()
			over := map[string]uint64{"udp": counts.UDP, "tcp": counts.TCP}
			carried := over[c.protocol]
			delete(over, c.protocol)
			for other, n := range over {
				if carried < 200 || n > 0 || counts.Strange > 0 {
					t.Errorf("the reflector has carried %d packets over %s, %d over %s: %+v", carried, c.protocol, n, other, counts)
				}
			}
		})
	}
}

// relayedPeers carries one call and checks both ends.
func relayedPeers(ctx context.Context, t *testing.T, server *reflector.Server, protocol, parameters string) {
	t.Helper()
	caller, callee, err := server.Grant()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	common := []string{"--key", randomKey(), "--p2p=false", "--duration", "4s", "--custom-params", parameters}
	peers := startPeerProcesses(ctx, t, [2][]string{
		slices.Concat(common, callerSays, peerServer(server.Addr(), caller, protocol), []string{"--out", filepath.Join(dir, "caller.wav")}),
		slices.Concat(common, calleeSays, peerServer(server.Addr(), callee, protocol), []string{"--out", filepath.Join(dir, "callee.wav")}),
	})
	for _, p := range peers {
		if err := p.cmd.Wait(); err != nil || p.complaints.Len() > 0 {
			t.Errorf("peer: %v\n%s", err, p.complaints.String())
		}
	}
	if t.Failed() {
		return
	}
	expectTones(t, dir)
	for _, p := range peers {
		lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
		var final finalLine
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &final); err != nil {
			t.Errorf("last line %s: %v", lines[len(lines)-1], err)
			continue
		}
		profile := "SRTP_AEAD_AES_128_GCM"
		if strings.Contains(parameters, "mtproto") {
			profile = "MTProto"
		}
		if final.State != "established" || final.Local != "relay" || final.SRTPProfile != profile {
			t.Errorf("final line: %+v", final)
		}
	}
}
