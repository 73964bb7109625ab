package tdjson

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

func publicPEM(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&key.PublicKey)}))
}

func TestPatchReplacesKeysAndNothingElse(t *testing.T) {
	old, key := publicPEM(t), publicPEM(t)
	longer := append(bytes.Clone(old[:40]), append([]byte("X"), old[40:]...)...) // 426 bytes: another purpose
	image := bytes.Join([][]byte{[]byte("code\x00"), old, {0}, old, {0}, longer, []byte("\x00-----BEGIN RSA PUBLIC KEY-----\ntruncated")}, nil)
	dir := t.TempDir()
	src, dst := filepath.Join(dir, "a.so"), filepath.Join(dir, "b.so")
	if err := os.WriteFile(src, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Patch(src, dst, append(key, '\n')); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.ReplaceAll(image, old, key); !bytes.Equal(got, want) {
		t.Fatal("the copy differs from what it should be")
	}
	if err := Patch(src, dst, []byte("short")); err == nil {
		t.Fatal("a short key was taken")
	}
	if err := os.WriteFile(src, []byte("no keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Patch(src, dst, key); err == nil {
		t.Fatal("a library without keys was taken")
	}
}
