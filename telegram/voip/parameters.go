package voip

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
)

// parameters is what we heed of phoneCall.custom_parameters.
type parameters struct {
	mtproto    bool // network_use_mtproto: media inside MTProto instead of DTLS-SRTP
	noSCTP     bool // network_signaling_nosctp: the packets of V3 without SCTP
	withSCTP   bool // network_kcp_experiment: V3 whatever the version
	standalone bool // network_standalone_reflectors: reflector candidates are not signalled
}

// parseParameters reads the JSON text. What is unknown is logged and ignored, as the engines do.
func parseParameters(text string, log *slog.Logger) (parameters, error) {
	var p parameters
	if text == "" {
		return p, nil
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return p, fmt.Errorf("parse custom parameters: %w: %w", ErrConfig, err)
	}
	var unknown []string
	for key, value := range all {
		on, _ := value.(bool)
		switch key {
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
	if len(unknown) > 0 {
		slices.Sort(unknown)
		log.Info("custom parameters without effect here", "keys", unknown)
	}
	return p, nil
}

// framing returns the library version whose signalling framing the call uses.
func (p parameters) framing(version string) string {
	const raw, sctp = "7.0.0", "13.0.0"
	switch {
	case p.noSCTP && (version == "12.0.0" || version == "13.0.0"):
		return raw
	case p.withSCTP && (version == "7.0.0" || version == "8.0.0" || version == "9.0.0"):
		return sctp
	}
	return version
}
