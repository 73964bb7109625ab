package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

// broken fails as the stores do: with the key in the error.
type broken struct{}

var errBroken = errors.New("no space left on device")

func (broken) Get(_ context.Context, key string) (store.Entry, error) {
	return store.Entry{}, fmt.Errorf("get %q: %w", key, errBroken)
}

func (broken) Put(_ context.Context, key string, _ []byte, _ store.Put) (uint64, error) {
	return 0, fmt.Errorf("put %q: %w", key, errBroken)
}

// readOnly fails only when it writes.
type readOnly struct{ broken }

func (readOnly) Get(context.Context, string) (store.Entry, error) {
	return store.Entry{}, store.ErrNotFound
}

// rotten holds what nobody can read.
type rotten struct{ broken }

func (rotten) Get(_ context.Context, key string) (store.Entry, error) {
	return store.Entry{Key: key, Value: []byte("{"), Version: 1}, nil
}

// Whatever fails, the log says what and not whose number it was.
func TestLogNamesNobody(t *testing.T) {
	for name, s := range map[string]Store{"broken": broken{}, "read-only": readOnly{}, "rotten": rotten{}} {
		for _, p := range []routing.Presented{
			{Number: "+4930123456", Kind: routing.Phone, UserID: 7000001, Phone: "+4930123456"},
			{Number: "Anna_Lab", Kind: routing.Username, UserID: 7000001, Username: "Anna_Lab"},
		} {
			var text bytes.Buffer
			m := New(Options{Store: s, Log: slog.New(slog.NewTextHandler(&text, nil))})
			m.Remember(t.Context(), "office", p)
			m.Recall(t.Context(), "office", p.Number)
			said := text.String()
			if !strings.Contains(said, "number-memory/office/") || name != "rotten" && !strings.Contains(said, errBroken.Error()) {
				t.Errorf("%s: the log does not say what failed: %s", name, said)
			}
			for _, whose := range []string{"23456", "anna_lab", "Anna_Lab", "7000001"} {
				if strings.Contains(said, whose) {
					t.Errorf("%s: the log has %s: %s", name, whose, said)
				}
			}
		}
	}
}
