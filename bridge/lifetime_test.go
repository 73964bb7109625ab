package bridge_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

func TestDrain(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Drain: 20 * time.Second}}, func(l *lab) {
		a, b := l.up()
		begin := time.Now()
		l.stop()
		synctest.Wait()
		refused := l.offer() // the trunks still run
		l.hungUp(refused, bridge.Congestion)
		l.quiet(a)
		l.hungUp(b, bridge.Normal)
		l.hungUp(a, bridge.Normal)
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("the call was let go on for %v", took)
		}
	})
}

func TestDrainEndsWithTheLastCall(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Drain: time.Hour}}, func(l *lab) {
		a, _ := l.up()
		begin := time.Now()
		l.stop()
		time.Sleep(time.Minute)
		a.Emit(ended(bridge.Normal))
		err := <-l.ran
		l.ran <- err
		if took := time.Since(begin); took != time.Minute {
			t.Errorf("Run returned after %v", took)
		}
	})
}

func TestDrainNotAtAll(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Drain: -1}}, func(l *lab) {
		a := l.offer()
		b := l.dialled(l.telegram)
		begin := time.Now()
		l.stop()
		l.hungUp(a, bridge.Congestion)
		l.hungUp(b, bridge.Congestion)
		if took := time.Since(begin); took != 0 {
			t.Errorf("the call went on for %v", took)
		}
	})
}

func TestTrunkFailsForGood(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, b := l.up()
		l.telegram.Fail(errors.New("account banned"))
		l.hungUp(a, bridge.AccountDown)
		<-b.Done()
		synctest.Wait()
		health := l.x.Health()
		if len(health) != 2 || health[0] != (bridge.TrunkHealth{Name: "pbx"}) || health[1].Err == nil || health[1].Err.Error() != "account banned" {
			t.Errorf("health %+v", health)
		}
		if !strings.Contains(l.log.String(), "account banned") {
			t.Error("the failure is not logged")
		}
		next := l.offer() // the others go on
		l.hungUp(next, bridge.AccountDown)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if leg := l.records[1].Attempts[0].Leg; leg != "none" {
			t.Errorf("%s was dialled on a trunk that is down", leg)
		}
	})
}

func TestEveryTrunkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, err := bridge.New(planRouter{}, bridge.Options{Connect: trunktest.Cross})
		if err != nil {
			t.Fatal(err)
		}
		one, two := trunktest.NewTrunk("one"), trunktest.NewTrunk("two")
		down := errors.New("down")
		one.Fail(down)
		two.Fail(errors.New("broken"))
		if err := x.Run(t.Context(), one, two); !errors.Is(err, down) || !strings.Contains(err.Error(), `"two": broken`) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// stubborn makes a trunk whose legs do not end when told to.
func stubborn(trunk *trunktest.Trunk) {
	trunk.Script = func(l *trunktest.Leg, o trunktest.Order) {
		if o.Verb != trunktest.Hangup {
			trunktest.Obey(l, o)
		}
	}
}

func TestTeardownSticks(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		stubborn(l.telegram)
		a, _ := l.up()
		a.Emit(ended(bridge.Normal))
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if strings.Contains(l.log.String(), "stuck") {
			t.Error("the alarm is too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !strings.Contains(l.log.String(), `"level":"ERROR","msg":"teardown of the call is stuck"`) {
			t.Error("no alarm")
		}
		if l.x.Calls() != 1 {
			t.Error("the call was given up too early")
		}
		time.Sleep(50 * time.Second)
		r := l.record()
		if l.x.Calls() != 0 || r.Attempts[0].Error == "" || r.Reason != bridge.Normal {
			t.Errorf("the call was not given up: %+v", r)
		}
	})
}

// A clean end raises no alarm later.
func TestNoAlarmAfterTheEnd(t *testing.T) {
	inLab(t, bridge.Options{}, func(l *lab) {
		a, _ := l.up()
		a.Emit(ended(bridge.Normal))
		time.Sleep(time.Hour)
		synctest.Wait()
		if strings.Contains(l.log.String(), "stuck") {
			t.Error("an alarm without need")
		}
	})
}

// Nothing of a call speaks up after it was given up.
func TestNoAlarmAfterGivingUp(t *testing.T) {
	inLab(t, bridge.Options{Timeouts: bridge.Timeouts{Teardown: time.Second, Alarm: time.Minute}}, func(l *lab) {
		stubborn(l.telegram)
		a, _ := l.up()
		a.Emit(ended(bridge.Normal))
		time.Sleep(time.Hour)
		l.record()
		if strings.Contains(l.log.String(), "stuck") {
			t.Error("an alarm about a call that is over")
		}
	})
}

// The alarm does not depend on the goroutine that may be what sticks.
func TestAlarmWhileStopBlocks(t *testing.T) {
	release := make(chan struct{})
	connect := func(*slog.Logger, media.Flow, media.Flow) (func(), error) { return func() { <-release }, nil }
	inLab(t, bridge.Options{Connect: connect}, func(l *lab) {
		release = make(chan struct{}) // of this bubble
		a, b := l.up()
		a.Emit(ended(bridge.Normal))
		l.hungUp(b, bridge.Normal) // the signalling ends first
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if !strings.Contains(l.log.String(), "stuck") {
			t.Error("no alarm")
		}
		close(release)
	})
}

// mute is a leg that closes its events without Ended.
type mute struct{ events chan bridge.Event }

func (mute) ID() string                    { return "mute" }
func (m mute) Events() <-chan bridge.Event { return m.events }
func (mute) Ring()                         {}
func (mute) Answer()                       {}
func (mute) Hangup(bridge.Cause)           {}

// muteTrunk dials mute legs.
type muteTrunk struct{ *trunktest.Trunk }

func (muteTrunk) Dial(context.Context, routing.Target) bridge.Leg {
	m := mute{make(chan bridge.Event)}
	close(m.events)
	return m
}

func TestLegWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		pbx := trunktest.NewTrunk("pbx")
		x, err := bridge.New(planRouter{Targets: []routing.Target{{Trunk: "mute"}}}, bridge.Options{Connect: trunktest.Cross})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- x.Run(ctx, pbx, muteTrunk{trunktest.NewTrunk("mute")}) }()
		<-pbx.Up()
		a := pbx.Offer(routing.Request{})
		<-a.Done()
		if o := <-a.Orders(); o.Cause.Reason != bridge.Failure {
			t.Errorf("the caller was told %v", o.Cause)
		}
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

func TestMisuse(t *testing.T) {
	connect := trunktest.Cross
	for name, make := range map[string]func() error{
		"no router":  func() error { _, err := bridge.New(nil, bridge.Options{Connect: connect}); return err },
		"no connect": func() error { _, err := bridge.New(planRouter{}, bridge.Options{}); return err },
		"negative room": func() error {
			_, err := bridge.New(planRouter{}, bridge.Options{Connect: connect, MaxCalls: -1})
			return err
		},
		"no trunk": func() error {
			x, _ := bridge.New(planRouter{}, bridge.Options{Connect: connect})
			return x.Run(t.Context())
		},
		"two trunks of one name": func() error {
			x, _ := bridge.New(planRouter{}, bridge.Options{Connect: connect})
			return x.Run(t.Context(), trunktest.NewTrunk("a"), trunktest.NewTrunk("a"))
		},
		"run twice": func() error {
			x, _ := bridge.New(planRouter{}, bridge.Options{Connect: connect})
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := x.Run(ctx, trunktest.NewTrunk("a")); err != nil {
				t.Error(err)
			}
			return x.Run(ctx, trunktest.NewTrunk("b"))
		},
	} {
		if make() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
