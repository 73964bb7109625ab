package voip

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	_ "crypto/sha1" // hash functions of fingerprints
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// identity is a self-signed DTLS certificate. It proves nothing by itself: the peer knows its fingerprint from
// signalling, which is encrypted with the call's key.
type identity struct {
	certificate tls.Certificate
	fingerprint string // sha-256, as InitialSetup has it
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make dtls key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return nil, fmt.Errorf("make dtls certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.AddDate(0, 0, -1),
		NotAfter:     now.AddDate(10, 0, 0), // longer than any process runs
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make dtls certificate: %w", err)
	}
	return &identity{
		certificate: tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key},
		fingerprint: formatFingerprint(raw),
	}, nil
}

func formatFingerprint(certificate []byte) string {
	h := crypto.SHA256.New()
	h.Write(certificate)
	var pairs []string
	for _, b := range h.Sum(nil) {
		pairs = append(pairs, fmt.Sprintf("%02X", b))
	}
	return strings.Join(pairs, ":")
}

// fingerprint is what the peer signalled of its certificate.
type fingerprint struct {
	hash crypto.Hash
	sum  string // binary
}

// parseFingerprint reads the hash name of RFC 8122 and pairs of hex digits, both in any case.
func parseFingerprint(hash, sum string) (fingerprint, error) {
	f := fingerprint{hash: hashNamed(hash)}
	if f.hash == 0 {
		return f, fmt.Errorf("parse fingerprint: unknown hash %q", hash)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(sum, ":", ""))
	if err != nil || len(b) != f.hash.Size() {
		return f, fmt.Errorf("parse fingerprint: %q is no %s sum", sum, hash)
	}
	f.sum = string(b)
	return f, nil
}

func hashNamed(name string) crypto.Hash {
	switch strings.ToLower(name) {
	case "sha-1":
		return crypto.SHA1
	case "sha-224":
		return crypto.SHA224
	case "sha-256":
		return crypto.SHA256
	case "sha-384":
		return crypto.SHA384
	case "sha-512":
		return crypto.SHA512
	}
	return 0
}

// matches says whether the fingerprint is that of a certificate (DER).
func (f fingerprint) matches(certificate []byte) bool {
	h := f.hash.New()
	h.Write(certificate)
	return subtle.ConstantTimeCompare(h.Sum(nil), []byte(f.sum)) == 1
}
