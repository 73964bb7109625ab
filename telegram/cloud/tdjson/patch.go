package tdjson

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// The library carries Telegram's RSA keys as PKCS#1 PEM text; 2048 bits with exponent 65537 always make 425 bytes
// (without the last newline). One is for the production servers, one for the test servers; both are replaced. A third text,
// of 426 bytes, signs something else and stays.
const pemSize = 425

var (
	pemBegin = []byte("-----BEGIN RSA PUBLIC KEY-----\n")
	pemEnd   = []byte("\n-----END RSA PUBLIC KEY-----")
)

// Patch writes a copy of the library at src to dst in which Telegram's keys are replaced by public, a PKCS#1 PEM.
func Patch(src, dst string, public []byte) error {
	public = bytes.TrimSpace(public)
	if len(public) != pemSize {
		return fmt.Errorf("patch %s: key is %d bytes of PEM, want %d", src, len(public), pemSize)
	}
	lib, err := os.ReadFile(src)
	if err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	if replaceKeys(lib, public) == 0 {
		return fmt.Errorf("patch %s: %w", src, errors.New("no key of the right size found"))
	}
	if err := os.WriteFile(dst, lib, 0o700); err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	return nil
}

func replaceKeys(lib, public []byte) (n int) {
	for at := 0; ; {
		i := bytes.Index(lib[at:], pemBegin)
		if i < 0 {
			return n
		}
		at += i
		end := bytes.Index(lib[at:min(len(lib), at+1000)], pemEnd)
		if end+len(pemEnd) == pemSize {
			copy(lib[at:], public)
			n++
		}
		at += len(pemBegin)
	}
}
