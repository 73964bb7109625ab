package esl

import (
	"strings"
	"testing"
)

func TestVariableOption(t *testing.T) {
	o := Options{Name: "pbx", Address: "127.0.0.1:8021", Password: "x", Variables: []string{"DEPARTMENT", "sip_h_X-Tenant", "a b", "${x}", ""}}
	_, err := o.withDefaults()
	if err == nil || strings.Count(err.Error(), "want the name of a channel variable") != 3 {
		t.Errorf("%v", err)
	}
}
