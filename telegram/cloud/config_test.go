package cloud

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadUsers(t *testing.T) {
	users, err := LoadUsers(write(t, `
users:
  - id: 1001
    phone: "+99966110001"
    username: alice
    first_name: Alice
    code: "12345"
    password: secret
    privacy: {calls: contacts, p2p: nobody}
  - {id: 1002, phone: "99966110002", first_name: Bob}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(users) != 2 || users[0].Privacy.Calls != Contacts || users[0].Password != "secret" || users[1].FirstName != "Bob" {
		t.Fatalf("users %+v", users)
	}
	if s := users[0].LogValue().String(); strings.Contains(s, "secret") || strings.Contains(s, "99966110001") {
		t.Fatalf("the log shows %s", s)
	}
}

func TestLoadUsersRefusesMistakes(t *testing.T) {
	const ok = "users:\n  - {id: 1, phone: \"12345\", first_name: A, username: abcd}\n"
	for text, want := range map[string]string{
		"":          "no users",
		"users: []": "no users",
		ok + "  - {id: 2, phone: \"54321\", first_name: B, nick: x}\n":                   "[3:",
		ok + "  - {id: two, phone: \"54321\", first_name: B}\n":                          "[3:",
		ok + "  - {id: 1, phone: \"54321\", first_name: B}\n":                            "line 3: accept user id 1",
		ok + "  - {id: 2, phone: \"+12345\", first_name: B}\n":                           "line 3: accept phone",
		ok + "  - {id: 2, phone: \"54321\", first_name: B, username: ABCD}\n":            "line 3: accept username",
		ok + "  - {id: 2, phone: \"one\", first_name: B}\n":                              "line 3: accept phone",
		ok + "  - {id: 2, phone: \"54321\", first_name: B, username: \"1x\"}\n":          "line 3: accept username",
		ok + "  - {id: 2, phone: \"54321\", first_name: B, privacy: {calls: friends}}\n": "line 3: accept privacy.calls",
		ok + "  - {id: 2, phone: \"54321\", first_name: B, code: \"12a45\"}\n":           "line 3: accept code",
		ok + "  - {id: 0, phone: \"54321\", first_name: B}\n":                            "line 3: accept user id 0",
		ok + "  - {id: 777000, phone: \"54321\", first_name: B}\n":                       "line 3: accept user id 777000",
	} {
		_, err := LoadUsers(write(t, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadUsers(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was read")
	}
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "server.pem")
	made, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	again, err := LoadKey(path)
	if err != nil || !again.Equal(made) {
		t.Fatal("another key", err)
	}
	if n := len(bytes.TrimSpace(PublicPEM(&made.PublicKey))); n != 425 {
		t.Fatalf("PEM of %d bytes", n)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := LoadKey(write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))); err != nil || !k.Equal(made) {
		t.Fatal("PKCS#8:", err)
	}
}

func TestLoadKeyRefusesOthers(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecBytes, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	for name, text := range map[string]string{
		"empty": "", "small": block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small)), "elliptic": block("PRIVATE KEY", ecBytes),
		"public": block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&small.PublicKey)), "broken": block("RSA PRIVATE KEY", []byte{1, 2, 3}),
	} {
		if _, err := LoadKey(write(t, text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"dc": {DC: 6}, "key": {Key: small}, "users": {Users: []User{{ID: 1}}}, "listen": {Listen: "nowhere:1:2"},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestFileKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "auth.json")
	store := FileKeys(path)
	if all, err := store.Load(); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	now := time.Now().Round(0)
	for id := range int64(3) {
		if err := store.Save(AuthKey{ID: id, Key: []byte{1}, Created: now.Add(time.Duration(id))}); err != nil {
			t.Fatal(err)
		}
	}
	login := &Login{User: 7, Hash: 8, Date: now}
	if err := store.Save(AuthKey{ID: 1, Key: []byte{2}, Created: now.Add(1), Login: login}); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(2); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(99); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.WriteString(`{"id":5,"ke`) // a crash tore the last line
	_ = file.Close()
	for range 2 { // the second time from the file that Load has written anew
		all, err := FileKeys(path).Load()
		if err != nil || len(all) != 2 || all[0].ID != 0 || all[1].ID != 1 || all[1].Login == nil || all[1].Login.User != 7 || !all[1].Login.Date.Equal(now) {
			t.Fatal(all, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("broken\n{\"id\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FileKeys(path).Load(); err == nil {
		t.Fatal("a broken file was read")
	}
}
