package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/media"
)

// silent is a flow of some format.
type silent struct {
	media.Flow
	format media.Format
}

func (s silent) Format() media.Format { return s.format }
func (silent) Attach(media.Sink)      {}

// Whatever a PBX speaks, the codec that a call with Telegram Web takes (docs/configuration.md, "Codec") can be joined to it.
func TestWebCallsFitThePBX(t *testing.T) {
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
	const text = `
accounts:
  - {name: sales, api_id: 1, api_hash: "0123456789abcdef0123456789abcdef"}
pbx:
  - {name: office, %s}
routes:
  - {from: sales, to: office, context: c, extension: "1"}
  - {from: office, to: sales}
`
	ulaw := media.Format{Codec: media.PCMU, Rate: 8000}
	wide := media.Format{Codec: media.L16, Rate: 16_000}
	opus := media.Format{Codec: media.Opus, Rate: 48_000}
	freeswitch := `freeswitch: {address: "127.0.0.1:8021", password: p, codec: %s}`
	for link, leg := range map[string]media.Format{
		`asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}`: {Codec: media.PCMA, Rate: 8000},
		fmt.Sprintf(freeswitch, "auto"):                                          wide,
		fmt.Sprintf(freeswitch, "l16"):                                           wide,
		fmt.Sprintf(freeswitch, "opus"):                                          opus,
		fmt.Sprintf(freeswitch, "pcmu"):                                          ulaw,
	} {
		path := filepath.Join(t.TempDir(), "tgtrunk.yaml")
		if err := os.WriteFile(path, []byte(fmt.Sprintf(text, link)), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		web := opus
		if codecOfPBX(cfg, "sales") == media.PCMU {
			web = ulaw
		}
		c, err := media.Connect(silent{format: web}, silent{format: leg}, media.Options{Wheel: media.NewWheel()})
		if err != nil {
			t.Errorf("%s: a call of Telegram Web fails: %v", link, err)
			continue
		}
		c.Stop()
	}
}
