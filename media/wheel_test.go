package media

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// turning runs a wheel for as long as f.
func turning(t *testing.T, f func(w *Wheel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		f(w)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// rest lets fake time pass.
func rest(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestWheelRunsTimersOnTime(t *testing.T) {
	turning(t, func(w *Wheel) {
		begin := time.Now()
		delays := []time.Duration{
			0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 23 * time.Millisecond, 640 * time.Millisecond,
			1275 * time.Millisecond, 1280 * time.Millisecond, 1285 * time.Millisecond, 2 * time.Second, 7 * time.Second,
		}
		ran := make([]time.Duration, len(delays))
		for i, d := range delays {
			w.Schedule(NewWheelTimer(func(now time.Time) {
				if ran[i] != 0 {
					t.Errorf("timer for %s ran twice", d)
				}
				ran[i] = now.Sub(begin)
			}), begin.Add(d))
		}
		rest(10 * time.Second)
		for i, d := range delays {
			if late := ran[i] - d; ran[i] == 0 || late < 0 || late > wheelSlot {
				t.Errorf("timer for %s ran after %s", d, ran[i])
			}
		}
	})
}

func TestWheelWakesForAnEarlierTimer(t *testing.T) {
	turning(t, func(w *Wheel) {
		begin := time.Now()
		var early, later time.Duration
		w.Schedule(NewWheelTimer(func(now time.Time) { later = now.Sub(begin) }), begin.Add(time.Second))
		rest(100 * time.Millisecond)
		w.Schedule(NewWheelTimer(func(now time.Time) { early = now.Sub(begin) }), begin.Add(120*time.Millisecond))
		rest(time.Second)
		if early < 120*time.Millisecond || early > 125*time.Millisecond || later < time.Second || later > 1005*time.Millisecond {
			t.Errorf("ran after %s and %s", early, later)
		}
	})
}

func TestWheelTimerMovesAndCancels(t *testing.T) {
	turning(t, func(w *Wheel) {
		begin := time.Now()
		var ran []time.Duration
		moved := NewWheelTimer(func(now time.Time) { ran = append(ran, now.Sub(begin)) })
		w.Schedule(moved, begin.Add(10*time.Millisecond))
		w.Schedule(moved, begin.Add(50*time.Millisecond))
		gone := NewWheelTimer(func(time.Time) { t.Error("cancelled timer ran") })
		beside := NewWheelTimer(func(now time.Time) { ran = append(ran, now.Sub(begin)) })
		w.Schedule(beside, begin.Add(50*time.Millisecond)) // the same slot: its list must survive
		w.Schedule(gone, begin.Add(50*time.Millisecond))
		w.Cancel(gone)
		w.Cancel(gone)
		w.Cancel(NewWheelTimer(nil))
		rest(200 * time.Millisecond)
		if len(ran) != 2 || ran[0] != 50*time.Millisecond || ran[1] != ran[0] {
			t.Errorf("ran after %v", ran)
		}
	})
}

func TestWheelHasNothingToWaitForWhenAllIsCancelled(t *testing.T) {
	w := NewWheel()
	timer := NewWheelTimer(nil)
	for d := range 300 {
		w.Schedule(timer, time.Now().Add(time.Duration(d)*wheelSlot))
		if _, any := w.nextTick(); !any {
			t.Fatal("a timer is set and nothing is waited for")
		}
	}
	w.Cancel(timer)
	if tick, any := w.nextTick(); any {
		t.Errorf("waits for tick %d", tick)
	}
}

func TestWheelTimerSetsItselfAgain(t *testing.T) {
	turning(t, func(w *Wheel) {
		var timer *WheelTimer
		runs := 0
		timer = NewWheelTimer(func(now time.Time) {
			runs++
			w.Schedule(timer, now.Add(20*time.Millisecond))
		})
		w.Schedule(timer, time.Now().Add(20*time.Millisecond))
		rest(time.Second)
		if runs != 50 {
			t.Errorf("ran %d times in a second, want 50", runs)
		}
	})
}

func TestWheelRunsWhatWasSetBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		ran := 0
		for i := range 300 {
			w.Schedule(NewWheelTimer(func(time.Time) { ran++ }), time.Now().Add(time.Duration(i)*10*time.Millisecond))
		}
		rest(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		if ran != 300 {
			t.Errorf("%d of 300 overdue timers ran", ran)
		}
		cancel()
		<-ended
	})
}

func TestWheelAllocatesNothing(t *testing.T) {
	w := NewWheel()
	timer := NewWheelTimer(func(time.Time) {})
	at := time.Now()
	if n := testing.AllocsPerRun(1000, func() {
		at = at.Add(wheelSlot)
		w.Schedule(timer, at.Add(wheelSlot))
		w.collect(at)
		w.nextTick()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
