package main

import (
	"reflect"
	"testing"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
)

// Every limit of the configuration arrives where it belongs, and none is forgotten.
func TestGuardLimits(t *testing.T) {
	from := config.Guard{Retry: 1, PrivateFor: 2, Pace: config.Pace{Calls: 11, Per: 12}, Strangers: config.Strangers{
		PerDay: 3, PerExtension: 4, WarmUp: 5, Gap: 6, PeerFlood: 7, Declines: config.Declines{Count: 8, Within: 9, Pause: 10},
	}}
	want := guard.Limits{Retry: 1, Private: 2, PerDay: 3, PerCaller: 4, WarmUp: 5, Gap: 6, PeerFlood: 7,
		Breaker: guard.Breaker{Declines: 8, Within: 9, Pause: 10}, Pace: guard.Pace{Calls: 11, Per: 12}}
	got := *guardLimits(from)
	if got != want {
		t.Errorf("limits are %+v, want %+v", got, want)
	}
	for i := range reflect.ValueOf(got).NumField() {
		if reflect.ValueOf(got).Field(i).IsZero() {
			t.Errorf("%s is not set", reflect.TypeFor[guard.Limits]().Field(i).Name)
		}
	}
}
