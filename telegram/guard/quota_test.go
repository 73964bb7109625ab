package guard

import (
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
)

// One extension does not burn the account's budget: it has a quota of it, which rolls as the budget does, holds over a
// restart, and costs others nothing.
func TestQuotaOfAnExtension(t *testing.T) {
	bubble(t, func(t *testing.T, _ string, s *store.File) {
		limits := Limits{PerDay: 5, PerCaller: 2}
		g := load(t, s, limits)
		by := func(extension string, id int64) Callee { return Callee{ID: id, Stranger: true, By: extension} }
		admit(t, g, by("201", 1), 1)
		time.Sleep(time.Hour)
		admit(t, g, by("201", 2), 0)
		_, err := g.Admit(t.Context(), by("201", 3))
		refused(t, err, Quota, 23*time.Hour)
		if g.Status().Left != 3 || g.Left("201") != 0 || g.Left("202") != 2 {
			t.Errorf("left are %d, %d and %d", g.Status().Left, g.Left("201"), g.Left("202"))
		}
		if left, err := g.Admit(t.Context(), Callee{ID: 9, By: "201"}); err != nil || left != 0 {
			t.Errorf("somebody known: %d, %v", left, err)
		}
		g = load(t, s, limits)
		_, err = g.Admit(t.Context(), by("201", 3))
		refused(t, err, Quota, 23*time.Hour)
		admit(t, g, by("", 3), 1) // the PBX does not say who it is: all of those together have one quota
		admit(t, g, by("", 4), 0)
		_, err = g.Admit(t.Context(), by("", 5))
		refused(t, err, Quota, 24*time.Hour)
		g.GiveBack(t.Context(), by("202", 4)) // it was not that one's
		admit(t, g, by("202", 6), 0)
		_, err = g.Admit(t.Context(), by("202", 7)) // the account's own is spent
		refused(t, err, Budget, 23*time.Hour)
		g.GiveBack(t.Context(), by("", 4))
		admit(t, g, by("", 8), 0)
		time.Sleep(23*time.Hour + time.Second)
		admit(t, g, by("201", 3), 0)
	})
}
