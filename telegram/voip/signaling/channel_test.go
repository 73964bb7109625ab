package signaling

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpen(t *testing.T) {
	good := Config{
		Version: "13.0.0", Role: Caller, Key: vectorKey(), Transmit: func([]byte) {}, Deliver: func([]byte) {},
	}
	for _, version := range slices.Concat(Versions(), ReferenceVersions()) {
		c := good
		c.Version = version
		if _, err := Open(c); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	if Versions()[0] != "13.0.0" || len(Versions()) != 5 || !slices.Equal(ReferenceVersions(), []string{"11.0.0", "10.0.0"}) {
		t.Errorf("versions are %v and %v", Versions(), ReferenceVersions())
	}
	for _, version := range []string{"", "13", "14.0.0", "18.0.0", "5.0.0", "13.0.0 "} {
		c := good
		c.Version = version
		_, err := Open(c)
		if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), strings.Join(Versions(), ", ")) {
			t.Errorf("%q: %v", version, err)
		}
	}
	for name, spoil := range map[string]func(*Config){
		"key": func(c *Config) { c.Key = nil }, "role": func(c *Config) { c.Role = 0 },
		"transmit": func(c *Config) { c.Transmit = nil }, "deliver": func(c *Config) { c.Deliver = nil },
	} {
		c := good
		spoil(&c)
		if _, err := Open(c); !errors.Is(err, ErrConfig) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		version string
		longest int
	}{{"7.0.0", maxMessage}, {"9.0.0", maxAckedMessage}, {"13.0.0", maxMessage}} {
		synctest.Test(t, func(t *testing.T) {
			long := make([]byte, c.longest) // not compressible
			for i := range long {
				long[i] = byte(rand.IntN(256))
			}
			long[0] = '{'
			n := &network{delay: 10 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
			caller, callee := pair(t, c.version, n, func(caller, callee *side) {
				if err := caller.Send(append(long, 0)); err != ErrTooLong {
					t.Errorf("%s: too long a message gives %v", c.version, err)
				}
				for range 2 {
					if err := caller.Send(long); err != nil {
						t.Errorf("%s: %v", c.version, err)
					}
				}
				time.Sleep(30 * time.Second)
			})
			if got := callee.received(); len(got) != 2 || got[0] != string(long) || got[1] != string(long) {
				t.Errorf("%s: %d messages came; %+v, %+v", c.version, len(got), caller.Stats(), callee.Stats())
			}
		})
	}
}

func TestFull(t *testing.T) {
	c := open(t, Callee, func([]byte) {}, func([]byte) {})
	for range maxQueued {
		if err := c.Send([]byte("{}")); err != nil {
			t.Fatal(err)
		}
		c.Receive([]byte("x"))
	}
	if err := c.Send([]byte("{}")); err != ErrFull {
		t.Errorf("one message more gives %v", err)
	}
	c.Receive([]byte("x"))
	c.Receive(make([]byte, maxPacketSize+1))
	if d := c.Stats().Drops; d.Overflow != 1 || d.Long != 1 {
		t.Errorf("drops are %+v", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Run(ctx); err == nil {
		t.Error("runs twice")
	}
}

// pair runs a caller and a callee as cross does, for as long as body takes.
func pair(t *testing.T, version string, n *network, body func(caller, callee *side), change ...func(*Config)) (caller, callee *side) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	caller, callee = &side{}, &side{}
	var wg sync.WaitGroup
	make := func(s, to *side, role Role) {
		c := Config{
			Version: version, Role: role, Key: vectorKey(), Deliver: s.deliver,
			Transmit: func(p []byte) { n.carry(ctx, p, func(p []byte) { to.Receive(p) }, nil) },
		}
		for _, f := range change {
			f(&c)
		}
		var err error
		if s.Channel, err = Open(c); err != nil {
			t.Fatal(err)
		}
	}
	make(caller, callee, Caller)
	make(callee, caller, Callee)
	wg.Go(func() { _ = caller.Run(ctx) })
	wg.Go(func() { _ = callee.Run(ctx) })
	body(caller, callee)
	cancel()
	wg.Wait()
	return caller, callee
}

// TestPlain: V3 goes without SCTP when both are told so, and when one of them learns it from the other.
func TestPlain(t *testing.T) {
	for _, c := range []struct {
		name  string
		plain func(Role) bool
	}{
		{"both", func(Role) bool { return true }},
		{"caller only", func(r Role) bool { return r == Caller }},
		{"callee only", func(r Role) bool { return r == Callee }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 10 * time.Millisecond, random: rand.New(rand.NewPCG(1, 1))}
				caller, callee := pair(t, "13.0.0", n, func(caller, callee *side) {
					for i := range 5 {
						_ = caller.Send([]byte(message(i)))
						_ = callee.Send([]byte(message(i)))
						time.Sleep(time.Second)
					}
				}, func(cfg *Config) { cfg.NoSCTP = c.plain(cfg.Role) })
				wantAll(t, "caller", caller.received(), 5)
				wantAll(t, "callee", callee.received(), 5)
				if c.name == "both" && n.carried != 10 {
					t.Errorf("%d packets were sent", n.carried)
				}
			})
		})
	}
}

func TestInflate(t *testing.T) {
	bomb, err := deflate(make([]byte, maxJSON+1))
	if err != nil {
		t.Fatal(err)
	}
	most, err := deflate(make([]byte, maxJSON))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inflate(bomb); !errors.Is(err, errInflate) {
		t.Errorf("a bomb gives %v", err)
	}
	if got, err := inflate(most); err != nil || len(got) != maxJSON {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, bad := range [][]byte{most[:len(most)-1], {0x1f, 0x8b}, append(bytes.Clone(most), 'x')} {
		if _, err := inflate(bad); !errors.Is(err, errInflate) {
			t.Errorf("%d bytes of broken gzip give %v", len(bad), err)
		}
	}
	if got, err := inflate([]byte("{}")); err != nil || string(got) != "{}" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, c := range []struct {
		counter uint32
		fresh   bool
	}{
		{0, true}, {0, false}, {1, true}, {1, false}, {64, true}, {0, false}, {2, true}, {63, true}, {63, false},
		{65, true}, {1, false}, {3, true}, {1000, true}, {936, false}, {937, true}, {937, false}, {65, false},
		{seqCounter, true}, {seqCounter, false}, {seqCounter - 63, true}, {seqCounter - 64, false},
	} {
		if fresh := w.register(c.counter); fresh != c.fresh {
			t.Errorf("%d is new: %v", c.counter, fresh)
		}
	}
}
