package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/media"
)

const codecConfiguration = `data: ./data
accounts:
  - {name: sales, api_id: 1, api_hash: "00000000000000000000000000000000", phone: "+49301234567"}
  - {name: other, api_id: 1, api_hash: "00000000000000000000000000000000", phone: "+49301234568"}
pbx:
  - {name: asterisk, asterisk: {url: "http://127.0.0.1:8088/ari", username: a, password: b}}
%s
routes:
%s
`

// TestCodecOfThePBX: an account is told G.711 only where all that it is connected with speaks nothing better.
func TestCodecOfThePBX(t *testing.T) {
	links := ""
	for _, codec := range []string{"auto", "l16", "opus", "pcmu", "pcma"} {
		links += fmt.Sprintf(`  - {name: %s, freeswitch: {address: "127.0.0.1:8021", password: b, app: %[1]s, codec: %[1]s,
      verto: {url: "ws://127.0.0.1:8081", login: a@b, password: c}}}
`, codec)
	}
	in := func(pbx string) string {
		return "  - {from: sales, to: " + pbx + ", context: from-telegram, extension: \"100\"}\n"
	}
	for _, c := range []struct {
		name, routes string
		want         media.Codec
	}{
		{"asterisk", in("asterisk"), media.PCMU},
		{"asterisk, calls out", "  - {from: asterisk, to: sales}\n", media.PCMU},
		{"freeswitch as it comes", in("auto"), 0},
		{"freeswitch, calls out", "  - {from: auto, to: sales}\n", 0},
		{"l16", in("l16"), 0},
		{"opus", in("opus"), 0},
		{"pcmu", in("pcmu"), media.PCMU},
		{"pcma", in("pcma"), media.PCMA},
		{"both laws", in("pcma") + "  - {from: asterisk, to: sales}\n", media.PCMU},
		{"one of two is wideband", in("asterisk") + "  - {from: auto, to: sales}\n", 0},
		{"wideband otherwise", "  - {from: sales, to: asterisk, context: a, extension: \"1\", otherwise: [{to: auto, context: a, extension: \"1\"}]}\n", 0},
		{"one of a pool", "  - {from: opus, to: [other, sales]}\n", 0},
		{"somebody else's wideband", in("asterisk") + "  - {from: auto, to: other}\n", media.PCMU},
		{"no route", "  - {from: auto, to: other}\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
			if err := os.WriteFile(path, fmt.Appendf(nil, codecConfiguration, links, c.routes), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			o, err := accountOptions(cfg, cfg.Accounts[0])
			if err != nil {
				t.Fatal(err)
			}
			if o.Name != "sales" || o.Calls.PBX != c.want {
				t.Errorf("account %s is told %v, want %v", o.Name, o.Calls.PBX, c.want)
			}
		})
	}
}
