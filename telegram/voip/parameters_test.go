package voip

import (
	"bytes"
	"errors"
	"log/slog"
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
	var log strings.Builder
	text := `{"network_use_mtproto":true,"network_signaling_nosctp":false,"network_sctp_t1_init_ms":400,
		"network_sctp_t1_cookie_ms":10,"network_sctp_max_backoff_ms":"750","zeta":1,"alpha":{}}`
	p, err := parseParameters(text, slog.New(slog.NewTextHandler(&log, nil)))
	want := parameters{mtproto: true, timers: signaling.SCTPTimers{Init: 400 * time.Millisecond}}
	if err != nil || p != want {
		t.Errorf("got %+v, %v", p, err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "[alpha zeta]") {
		t.Errorf("logged %q", log.String())
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

// FuzzParameters: custom_parameters come from Telegram's server. What is accepted leaves timers within their bounds.
func FuzzParameters(f *testing.F) {
	f.Add(`{"network_use_mtproto":true,"network_signaling_nosctp":1,"network_sctp_t1_init_ms":400}`)
	f.Add(`{"network_sctp_max_backoff_ms":1e300,"network_sctp_t1_cookie_ms":-1,"network_kcp_experiment":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseParameters(text, slog.New(slog.DiscardHandler))
		if err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", text, err)
		}
		for _, d := range []time.Duration{p.timers.Init, p.timers.Cookie, p.timers.MaxBackoff} {
			if d != 0 && (d < minTimer*time.Millisecond || d > maxTimer*time.Millisecond) {
				t.Errorf("%q: timer of %v", text, d)
			}
		}
	})
}
