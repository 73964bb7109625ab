package cloud

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

func FuzzUsers(f *testing.F) {
	f.Add("users:\n  - id: 1\n    phone: \"+12345678\"\n    first_name: A\n")
	f.Add("users:\n  - {id: 1, phone: 12345, first_name: A, privacy: {calls: nobody}}\n")
	f.Add("users: [")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := parseUsers([]byte(text))
		if err == nil && checkUsers(users) != nil {
			t.Fatal("parsed what is refused")
		}
	})
}

func FuzzFileKeys(f *testing.F) {
	f.Add(`{"id":1,"key":"AAAA","salt":0,"created":"2025-01-01T00:00:00Z"}` + "\n{\"id\":1,\"deleted\":true}\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = newKeyring(FileKeys(path))
	})
}

// FuzzQuery has every method carry out anything.
func FuzzQuery(f *testing.F) {
	key, err := testKey()
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{Key: key, Users: testUsers()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.listener.Close() })
	for id := range s.table {
		var b bin.Buffer
		b.PutID(id)
		f.Add(append(b.Buf, make([]byte, 64)...))
	}
	for _, e := range []bin.Encoder{
		&tg.PhoneRequestCallRequest{UserID: &tg.InputUserSelf{}, GAHash: make([]byte, 32), Protocol: protocol("13.0.0")},
		&tg.MessagesSendMessageRequest{Peer: &tg.InputPeerSelf{}, Message: "x", RandomID: 1},
		&tg.AuthSignInRequest{PhoneNumber: "1", PhoneCodeHash: "2", PhoneCode: "3"},
		&tg.AuthCheckPasswordRequest{Password: &tg.InputCheckPasswordSRP{A: make([]byte, 256), M1: make([]byte, 32)}},
	} {
		var b bin.Buffer
		if err := b.Encode(e); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Buf)
	}
	perm := &mtserver.Key{}
	if err := s.keys.add(perm); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := mtserver.Unwrap(body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		d := s.keys.device(perm)
		if d.user == nil {
			s.login(d, s.accounts[alice])
		}
		call := &mtserver.Call{Query: q, Session: new(mtserver.Session)}
		id, _ := (&bin.Buffer{Buf: q.Body}).PeekID()
		m, ok := s.table[id]
		if !ok {
			return
		}
		s.hold = true
		if result, err := m.run(&request{Server: s, call: call, dev: d, me: d.user}, &bin.Buffer{Buf: q.Body}); err == nil {
			if err := (&bin.Buffer{}).Encode(result); err != nil {
				t.Fatal(err)
			}
		}
		s.hold, s.held = false, nil
	})
}
