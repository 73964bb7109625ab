package voip

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// parameters is what we heed of phoneCall.custom_parameters.
type parameters struct {
	mtproto    bool // network_use_mtproto: media inside MTProto instead of DTLS-SRTP
	noSCTP     bool // network_signaling_nosctp: the packets of V3 without SCTP
	withSCTP   bool // network_kcp_experiment: V3 whatever the version
	standalone bool // network_standalone_reflectors: reflector candidates are not signalled
	timers     signaling.SCTPTimers
}

// parseParameters reads the JSON text. What is unknown is ignored, as the engines do; its keys are returned in order.
func parseParameters(text string) (p parameters, unknown []string, err error) {
	if text == "" {
		return p, nil, nil
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return p, nil, fmt.Errorf("parse custom parameters: %w: %w", ErrConfig, err)
	}
	for key, value := range all {
		on, _ := value.(bool)
		switch key {
		case "network_sctp_t1_init_ms":
			p.timers.Init = timer(value)
		case "network_sctp_t1_cookie_ms":
			p.timers.Cookie = timer(value)
		case "network_sctp_max_backoff_ms":
			p.timers.MaxBackoff = timer(value)
		case "network_use_mtproto":
			p.mtproto = on
		case "network_signaling_nosctp":
			p.noSCTP = on
		case "network_kcp_experiment":
			p.withSCTP = on
		case "network_standalone_reflectors":
			p.standalone = on
		default:
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	return p, unknown, nil
}

// The keys come from Telegram: as many are remembered, and as much of each.
const maxTold, maxToldKey = 64, 64

// toldKeys is which unknown custom parameters have been logged: every call gets the same ones.
type toldKeys struct {
	mu   sync.Mutex
	keys map[string]bool
}

// tell logs those that it has not logged before. Once it remembers maxTold of them it logs no more.
func (k *toldKeys) tell(log *slog.Logger, keys []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var fresh []string
	for _, key := range keys {
		key = strings.Clone(key[:min(len(key), maxToldKey)])
		if k.keys[key] || len(k.keys) == maxTold {
			continue
		}
		if k.keys == nil {
			k.keys = make(map[string]bool)
		}
		k.keys[key] = true
		fresh = append(fresh, key)
	}
	if len(fresh) > 0 {
		log.Info("custom parameters without effect here, said once", "keys", fresh)
	}
}

// The timers that are heeded, in ms: shorter ones would flood the server, longer ones outlive the call's set-up.
const minTimer, maxTimer = 50, 60_000

// timer reads a number of milliseconds; zero is what cannot be used.
func timer(value any) time.Duration {
	ms, ok := value.(float64)
	if !ok || ms < minTimer || ms > maxTimer {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// reference leaves what the reference engines heed (tgcalls v2/InstanceV2ReferenceImpl.cpp): none of the rest.
func (p parameters) reference() parameters { return parameters{timers: p.timers} }

// framing returns the library version whose signalling framing the call uses.
func (p parameters) framing(version string) string {
	if p.withSCTP && (version == "7.0.0" || version == "8.0.0" || version == "9.0.0") {
		return "13.0.0"
	}
	return version
}

// carried says whether the framing of a library version goes through SCTP.
func (p parameters) carried(framing string) bool {
	return !p.noSCTP && (framing == "12.0.0" || framing == "13.0.0")
}
