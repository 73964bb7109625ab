package guard

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

func TestPace(t *testing.T) {
	known := Callee{ID: 1}
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		g := load(t, s, Limits{Retry: 5 * time.Second, PerDay: -1, Pace: Pace{Calls: 3, Per: 30 * time.Second}})
		began := time.Now()
		for range 3 {
			if _, err := g.Admit(t.Context(), known); err != nil || time.Since(began) > 0 {
				t.Fatalf("%v after %v", err, time.Since(began))
			}
		}
		if !g.Hurried() {
			t.Error("a call that would have to wait for 10 s is not said to be hurried")
		}
		_, err := g.Admit(t.Context(), known)
		refused(t, err, Hurry, 10*time.Second)
		time.Sleep(6 * time.Second)
		if g.Hurried() {
			t.Error("a call that would have to wait for 4 s is said to be hurried")
		}
		if _, err := g.Admit(t.Context(), known); err != nil || time.Since(began).Round(time.Millisecond) != 10*time.Second {
			t.Errorf("the refused call took the next one's turn: %v after %v", err, time.Since(began))
		}
	})
}

// Whoever hangs up while waiting for the turn is neither called nor counted.
func TestPaceOfACallerWhoHangsUp(t *testing.T) {
	stranger := Callee{ID: 1, Stranger: true}
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		var said bytes.Buffer
		g := load(t, s, Limits{Retry: 5 * time.Second, PerDay: 10, Pace: Pace{Calls: 1, Per: 4 * time.Second}})
		g.o.Log = slog.New(slog.NewTextHandler(&said, nil))
		if _, err := g.Admit(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		left, err := g.Admit(ctx, stranger)
		refused(t, err, Hurry, 4*time.Second)
		if left != 9 || g.Left("") != 9 {
			t.Errorf("%d and %d strangers are left", left, g.Left(""))
		}
		if said.Len() > 0 {
			t.Errorf("the administrator is told %s", &said)
		}
		began := time.Now()
		if _, err := g.Admit(t.Context(), stranger); err != nil || time.Since(began).Round(time.Millisecond) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
