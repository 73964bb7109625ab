package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// The signature is what docs/records.md says, worked out with openssl:
// printf '1763800000.{"a":1}' | openssl dgst -sha256 -hmac swordfish
func TestSignature(t *testing.T) {
	const want = "sha256=52aec683e0324847865dab781c8212f4f040a4923f26d0d9e2078aea35de8ac2"
	if got := Sign("swordfish", "1763800000", []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	now := fmt.Sprint(time.Now().Unix())
	h := http.Header{}
	h.Set(HeaderTimestamp, now)
	h.Set(HeaderSignature, Sign(secret, now, []byte("x")))
	if err := Verify(secret, h, []byte("x"), time.Minute); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func() ([]byte, http.Header){
		"another body": func() ([]byte, http.Header) { return []byte("y"), h },
		"no signature": func() ([]byte, http.Header) { c := h.Clone(); c.Del(HeaderSignature); return []byte("x"), c },
		"no timestamp": func() ([]byte, http.Header) { c := h.Clone(); c.Del(HeaderTimestamp); return []byte("x"), c },
		"an old one": func() ([]byte, http.Header) {
			c, old := h.Clone(), fmt.Sprint(time.Now().Add(-time.Hour).Unix())
			c.Set(HeaderTimestamp, old)
			c.Set(HeaderSignature, Sign(secret, old, []byte("x")))
			return []byte("x"), c
		},
	} {
		body, header := spoil()
		if err := Verify(secret, header, body, time.Minute); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
