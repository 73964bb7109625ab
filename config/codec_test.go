package config

import (
	"fmt"
	"testing"
)

// Only the PBXs that an account has calls in common with count, in whichever direction, and wherever a route names them.
func TestSpeaksG711(t *testing.T) {
	const file = `
accounts:
  - {name: sales, api_id: 1, api_hash: "0123456789abcdef0123456789abcdef"}
  - {name: shop, api_id: 1, api_hash: "0123456789abcdef0123456789abcdef"}
pbx:
  - {name: old, asterisk: {url: "http://127.0.0.1:8088/ari", username: u, password: p}}
  - {name: narrow, freeswitch: {address: "127.0.0.1:8021", password: p, codec: pcma}}
  - {name: wide, freeswitch: {address: "127.0.0.1:8021", password: p}}
  - {name: linear, freeswitch: {address: "127.0.0.1:8021", password: p, codec: l16}}
  - {name: untouched, freeswitch: {address: "127.0.0.1:8021", password: p, codec: opus}}
routes:
%s  - {from: shop, to: wide, context: c, extension: "1"}
  - {from: linear, to: shop}
  - {from: untouched, to: shop}
`
	for routes, want := range map[string]bool{
		"": true,
		"  - {from: sales, to: old, context: c, extension: '1'}\n  - {from: narrow, to: sales}\n":                       true,
		"  - {from: sales, to: wide, context: c, extension: '1'}\n":                                                     false,
		"  - {from: linear, dialled: '7', to: [shop, sales]}\n":                                                         false,
		"  - {from: untouched, dialled: '7', to: sales}\n":                                                              false,
		"  - {from: sales, to: old, context: c, extension: '1', otherwise: [{to: wide, context: c, extension: '1'}]}\n": false,
	} {
		c, err := parse("x.yaml", fmt.Appendf(nil, file, routes))
		if err != nil {
			t.Errorf("%q: %v", routes, err)
			continue
		}
		if got := c.SpeaksG711("sales"); got != want {
			t.Errorf("%q: %v", routes, got)
		}
	}
}
