package voip

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

func TestCustomParameters(t *testing.T) {
	for name, o := range map[string]pairOptions{
		"nosctp": {version: "13.0.0", customCaller: `{"network_signaling_nosctp":true}`, customCallee: `{"network_signaling_nosctp":true}`},
		"kcp":    {version: "9.0.0", customCaller: `{"network_kcp_experiment":true}`, customCallee: `{"network_kcp_experiment":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var packets [][]byte
			o.delayed = true
			p := newPair(t, o)
			p.caller.out.tap = func(b []byte) bool {
				mu.Lock()
				defer mu.Unlock()
				packets = append(packets, bytes.Clone(b))
				return true
			}
			p.caller.start(t)
			p.callee.start(t)
			p.establish(t)
			p.exchange(t, name)
			mu.Lock()
			defer mu.Unlock()
			if len(packets) == 0 {
				t.Fatal("no packets")
			}
			for _, b := range packets {
				if sctp := bytes.HasPrefix(b, []byte{0x13, 0x88, 0x13, 0x88}); sctp != (name == "kcp") {
					t.Fatalf("sctp used: %v", sctp)
				}
				if name == "nosctp" {
					_, body, err := signaling.NewCipher(p.callee.c.Key, signaling.Callee, signaling.Signaling).Open(b)
					if err != nil || !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
						t.Errorf("% x: %v", body, err)
					}
				}
			}
		})
	}
}

func TestParameters(t *testing.T) {
	text := `{"network_use_mtproto":true,"network_signaling_nosctp":false,"network_sctp_t1_init_ms":400,
		"network_sctp_t1_cookie_ms":10,"network_sctp_max_backoff_ms":"750","zeta":1,"alpha":{}}`
	p, unknown, err := parseParameters(text)
	want := parameters{mtproto: true, timers: signaling.SCTPTimers{Init: 400 * time.Millisecond}}
	if err != nil || p != want || !slices.Equal(unknown, []string{"alpha", "zeta"}) {
		t.Errorf("got %+v, unknown %q, %v", p, unknown, err)
	}
	for version, want := range map[string][2]bool{ // through SCTP: as it is, with nosctp
		"13.0.0": {true, false}, "12.0.0": {true, false}, "9.0.0": {false, false}, "7.0.0": {false, false},
	} {
		if got := [2]bool{parameters{}.carried(version), parameters{noSCTP: true}.carried(version)}; got != want {
			t.Errorf("%s: %v", version, got)
		}
		kcp := parameters{withSCTP: true}
		if !kcp.carried(kcp.framing(version)) {
			t.Errorf("%s: no sctp", version)
		}
	}
}

// Telegram gives the same custom parameters to every call: what is unknown of them is logged once, however many calls
// share a Net, and whatever a server invents.
func TestUnknownParametersAreLoggedOnce(t *testing.T) {
	var mu sync.Mutex
	var logged []string
	log := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		_, keys, _ := strings.Cut(strings.TrimSpace(string(b)), "keys=")
		logged = append(logged, keys)
		return len(b), nil
	}), nil))
	calls := func(n *Net, text string, count int) {
		t.Helper()
		var placing sync.WaitGroup
		for range count {
			placing.Go(func() {
				_, err := New(Config{Role: signaling.Caller, Key: &Key{}, Version: "13.0.0", Net: n, Log: log, CustomParameters: text, Send: func([]byte) error { return nil }})
				if err != nil {
					t.Error(err)
				}
			})
		}
		placing.Wait()
	}
	wantLogged := func(want ...string) {
		t.Helper()
		if !slices.Equal(logged, want) {
			t.Errorf("logged %q, want %q", logged, want)
		}
		logged = nil
	}
	n := loopbackNet(t, 1)
	calls(n, `{"zeta":1,"alpha":{},"network_use_mtproto":false}`, 20)
	wantLogged(`"[alpha zeta]"`)
	calls(n, `{"zeta":2,"beta":true,"alpha":null}`, 2)
	wantLogged(`[beta]`)
	calls(nil, `{"beta":1}`, 2) // calls that share nothing
	wantLogged(`[beta]`, `[beta]`)
	calls(loopbackNet(t, 1), `{"beta":1}`, 1)
	wantLogged(`[beta]`)

	long := strings.Repeat("x", 10*maxToldKey)
	calls(n, `{"`+long+`1":1,"`+long+`2":1}`, 1)
	wantLogged("[" + long[:maxToldKey] + "]")
	for i := range 2 * maxTold {
		calls(n, fmt.Sprintf(`{"key%d":1}`, i), 1)
	}
	if len(logged) != maxTold-4 || len(n.told.keys) != maxTold {
		t.Errorf("%d lines, %d keys remembered", len(logged), len(n.told.keys))
	}
}

// FuzzParameters: custom_parameters come from Telegram's server. What is accepted leaves timers within their bounds.
func FuzzParameters(f *testing.F) {
	f.Add(`{"network_use_mtproto":true,"network_signaling_nosctp":1,"network_sctp_t1_init_ms":400}`)
	f.Add(`{"network_sctp_max_backoff_ms":1e300,"network_sctp_t1_cookie_ms":-1,"network_kcp_experiment":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		p, unknown, err := parseParameters(text)
		if err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", text, err)
		}
		new(toldKeys).tell(slog.New(slog.DiscardHandler), unknown)
		for _, d := range []time.Duration{p.timers.Init, p.timers.Cookie, p.timers.MaxBackoff} {
			if d != 0 && (d < minTimer*time.Millisecond || d > maxTimer*time.Millisecond) {
				t.Errorf("%q: timer of %v", text, d)
			}
		}
	})
}
