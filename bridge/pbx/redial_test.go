package pbx_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// TestRedial: pauses grow up to the longest, and are short again only after a connection that stood; the log says each new
// reason once for each outage.
func TestRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused, broken := errors.New("refused"), errors.New("broken")
		stood := []time.Duration{0, 0, 0, 0, 0, time.Second, 0, time.Minute, 0} // how long each connection is good
		var log bytes.Buffer
		var began, ended []time.Time
		var outages []pbx.Outage
		ctx, cancel := context.WithCancel(t.Context())
		pbx.Redial{Min: time.Second, Max: 10 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)), Text: "lost"}.Run(ctx,
			func(ctx context.Context) (time.Time, error) {
				now := time.Now()
				began = append(began, now)
				defer func() { ended = append(ended, time.Now()) }()
				if len(began) > len(stood) {
					cancel()
					return time.Time{}, ctx.Err()
				}
				if d := stood[len(began)-1]; d != 0 {
					time.Sleep(d)
					return now, broken
				}
				return time.Time{}, refused
			}, func(o pbx.Outage) { outages = append(outages, o) })
		for i, seconds := range []int{1, 2, 4, 8, 10, 10, 10, 1, 2} {
			pause := time.Duration(seconds) * time.Second
			if got := began[i+1].Sub(ended[i]); got < pause/2 || got > pause*3/2 {
				t.Errorf("pause %d is %v, want %v give or take the half", i, got, pause)
			}
		}
		for i, attempts := range []int{1, 2, 3, 4, 5, 1, 2, 1, 2} {
			first := i + 1 - attempts
			if o := outages[i]; o.Attempts != attempts || o.Since != ended[first] {
				t.Errorf("outage %d is %+v, want %d attempts since %v", i, o, attempts, ended[first])
			}
		}
		if o := outages[5]; o.Err != broken {
			t.Errorf("outage %+v", o)
		}
		if said := strings.Count(log.String(), "msg=lost"); said != 5 {
			t.Errorf("log has %d lines:\n%s", said, log.String())
		}
	})
}

// TestOpen: what cannot be opened now is tried again, until it is there or nobody wants it any more.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		redial := pbx.Redial{Min: time.Second, Max: 10 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil)), Text: "taken"}
		taken, tries := errors.New("address in use"), 0
		got, err := pbx.Open(t.Context(), redial, func() (string, error) {
			if tries++; tries < 4 {
				return "", taken
			}
			return "open", nil
		})
		if got != "open" || err != nil || tries != 4 || strings.Count(log.String(), "msg=taken") != 1 {
			t.Errorf("%q, %v after %d tries\n%s", got, err, tries, log.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := pbx.Open(ctx, redial, func() (string, error) { return "", taken }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := pbx.Open(ctx, redial, func() (string, error) { t.Error("opened after the end"); return "", nil }); err == nil {
			t.Error("no error after the end")
		}
	})
}
