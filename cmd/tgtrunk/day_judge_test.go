package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// Two sessions of one login are never connected at once. That a connection is closed is seen a moment late on a machine
// with much to do; who shares a login is connected for seconds.
const momentLate = 500 * time.Millisecond

// books is everything that is known when the day is over.
type books struct {
	d        *day
	tales    []tale
	verdicts map[string]stage.Verdict // by SIP Call-ID, the last of each
	records  []bridge.Record
	cloud    []cloud.CallInfo
	docs     map[string]string // Q.850/SIP by reason
}

func (d *day) judge(ctx context.Context, t *testing.T, tales []tale) {
	if err := d.Settled(ctx); err != nil {
		t.Error(err)
	}
	for _, call := range d.deskAll {
		select {
		case <-call.Over():
		default:
			t.Errorf("the desk phone still has the call of %s", call.Number())
		}
	}
	b := &books{d: d, tales: tales, verdicts: map[string]stage.Verdict{}, cloud: d.Cloud.Control().Calls(), docs: docsTable(t)}
	all := b.read(ctx, t)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.problems {
		t.Error(p)
	}
	for _, breach := range d.breaches {
		t.Errorf("a flood wait is forgotten: %s", breach)
	}
	for key, overlap := range d.overlaps {
		if overlap > momentLate {
			t.Errorf("login %x was connected twice for %v", key, overlap)
		}
	}
	b.judgeTales(t)
	b.judgeBudget(t)
	b.judgeRecords(t, all)
	b.judgeCloud(t)
}

// read reads what the dialplan and the services have written down.
func (b *books) read(ctx context.Context, t *testing.T) (all []stage.Verdict) {
	t.Helper()
	for _, talk := range b.tales {
		if talk.id == "" {
			continue
		}
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		if _, err := b.d.Verdict(within, talk.id); err != nil {
			t.Errorf("%s: %v", talk.title(), err)
		}
		cancel()
	}
	all, err := b.d.Verdicts()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		b.verdicts[v.Call] = v
	}
	for _, service := range b.d.options.Services {
		some, err := stage.Records(filepath.Join(b.d.Dir, service+".jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		b.records = append(b.records, some...)
	}
	return all
}

func (t tale) title() string {
	return fmt.Sprintf("%s plot %d via %d with %s (stranger %v) at %s", t.from.Format("04:05.000"), t.plot, t.via, t.who.FirstName, t.stranger, t.id)
}

func (d *day) disturbed(s span) bool {
	return slices.ContainsFunc(d.troubles, func(trouble span) bool { return trouble.touches(s) })
}

// judgeTales compares every call with the script, and with the table of the docs.
func (b *books) judgeTales(t *testing.T) {
	seen, quiet := map[bridge.Reason]int{}, 0
	for _, tale := range b.tales {
		disturbed := b.d.disturbed(tale.span)
		if !disturbed {
			quiet++
			if tale.wrong != "" {
				t.Errorf("%s: %s; SIP %s, told %+v", tale.title(), tale.wrong, pbxCause(tale.sip), b.verdicts[tale.id])
			}
		}
		if tale.in() {
			b.judgeIn(t, tale, disturbed)
			continue
		}
		reason := b.reason(t, tale)
		seen[reason]++
		if may := b.may(tale); !disturbed && !slices.Contains(may, reason) {
			t.Errorf("%s: ends as %q (SIP %s), want one of %q", tale.title(), reason, pbxCause(tale.sip), may)
		}
	}
	t.Logf("%d of %d calls were undisturbed; outgoing ones ended as %v", quiet, len(b.tales), seen)
	if quiet < len(b.tales)/3 {
		t.Errorf("only %d of %d calls were undisturbed", quiet, len(b.tales))
	}
	for _, reason := range []bridge.Reason{
		bridge.Normal, bridge.Busy, bridge.NoAnswer, bridge.Cancelled, bridge.MediaFailed, bridge.Unreachable, bridge.Privacy,
		bridge.NotFound, bridge.BadNumber, bridge.Flood, bridge.PeerFlood, bridge.Budget, bridge.AccountDown,
	} {
		if seen[reason] == 0 {
			t.Errorf("no call has ended as %s", reason)
		}
	}
}

// reason is why an outgoing call ended, as far as its caller can know, who must be told what the docs say.
func (b *books) reason(t *testing.T, tale tale) bridge.Reason {
	told := b.verdicts[tale.id]
	switch {
	case !tale.sip.Answered.IsZero() && tale.plot == outVanishesLate:
		return bridge.MediaFailed
	case !tale.sip.Answered.IsZero():
		return bridge.Normal
	case tale.sip.Status == 487:
		return bridge.Cancelled
	case told.Reason != "":
		if got := fmt.Sprintf("%d/%d", tale.sip.Q850(), tale.sip.Status); got != b.docs[told.Reason] {
			t.Errorf("%s: the dialplan is told %s, and the caller gets %s", tale.title(), told.Reason, got)
		}
		return bridge.Reason(told.Reason)
	}
	return ""
}

// may are the reasons that an outgoing call may have at its time.
func (b *books) may(tale tale) []bridge.Reason {
	one := tale.plot
	may := []bridge.Reason{told[one]}
	if one == outNoNumber {
		return may
	}
	if banned := (span{from: b.d.banned}); tale.via == 1 && !b.d.banned.IsZero() && banned.touches(tale.span) {
		return []bridge.Reason{bridge.AccountDown}
	}
	if tale.stranger {
		may = append(may, bridge.Budget)
		if limited := (span{from: b.d.limited}); tale.via != 1 && !b.d.limited.IsZero() && limited.touches(tale.span) {
			may = append(may, bridge.PeerFlood)
		}
	}
	if tale.via == 1 {
		may = b.flooded(tale, may)
	}
	if tale.via == 2 && (tale.stranger || tale.plot == outVanishesEarly) { // the pool tries the other account, and says what came of that
		may = append(may, bridge.Flood, bridge.AccountDown)
	}
	return may
}

// flooded are the reasons of a call that only account two may make.
func (b *books) flooded(tale tale, may []bridge.Reason) []bridge.Reason {
	for _, wait := range b.d.floods[b.d.accounts[1].User.ID] {
		switch {
		case !wait.touches(tale.span):
		case wait.holds(tale.span) && tale.meets() && !tale.stranger:
			return []bridge.Reason{bridge.Flood}
		default:
			may = append(may, bridge.Flood)
		}
	}
	return may
}

// judgeIn compares a call to an account with the script.
func (b *books) judgeIn(t *testing.T, tale tale, disturbed bool) {
	if banned := (span{from: b.d.banned}); disturbed || tale.via == 1 && !b.d.banned.IsZero() && banned.touches(tale.span) {
		return
	}
	switch tale.plot {
	case inAnswered:
		if tale.sip.Answered.IsZero() || tale.tg.Reason != calls.Hangup {
			t.Errorf("%s: SIP %s, at Telegram %v", tale.title(), pbxCause(tale.sip), tale.tg.Reason)
		}
	case inRefused:
		if tale.sip.Status != 486 || tale.tg.Reason != calls.Busy {
			t.Errorf("%s: SIP %s, at Telegram %v", tale.title(), pbxCause(tale.sip), tale.tg.Reason)
		}
	case inGivenUp:
		if tale.sip.Status != 487 || tale.tg.Reason != calls.Missed {
			t.Errorf("%s: SIP %s, at Telegram %v", tale.title(), pbxCause(tale.sip), tale.tg.Reason)
		}
	}
}

// judgeBudget counts, at Telegram, the calls to people who were strangers then.
func (b *books) judgeBudget(t *testing.T) {
	met, called := map[[2]int64]bool{}, map[int64]int{}
	for _, c := range b.cloud {
		between := [2]int64{c.Caller, c.Callee}
		if c.Callee/1000 != dayPerson("stranger", 2, 0).ID/1000 || met[between] {
			continue
		}
		called[c.Caller]++
		met[between] = !c.Active.IsZero()
	}
	for _, account := range b.d.accounts {
		n := called[account.User.ID]
		t.Logf("account %s has called %d strangers", account.Name, n)
		if n > dayBudget || n == 0 {
			t.Errorf("account %s has called %d strangers, and may call %d", account.Name, n, dayBudget)
		}
	}
}

// lost says whether the record of a call may be missing: a process was killed in that time, or before the call, which was
// over for everybody, was written down.
func (d *day) lost(s span) bool {
	s.to = s.to.Add(300 * time.Millisecond)
	return slices.ContainsFunc(d.kills, func(at time.Time) bool { return s.touches(span{at, at}) })
}

// lostWith says whether the record of a call to somebody may be missing, which has all attempts of the call.
func (b *books) lostWith(who int64, attempt span) bool {
	return b.d.lost(attempt) || slices.ContainsFunc(b.tales, func(t tale) bool {
		return t.who.ID == who && t.holds(attempt) && b.d.lost(t.span)
	})
}

// judgeRecords looks for the one record of everything that Asterisk has handed to a service.
func (b *books) judgeRecords(t *testing.T, verdicts []stage.Verdict) {
	count := map[string]int{}
	for _, r := range b.records {
		if count[r.Offering.Leg]++; count[r.Offering.Leg] > 1 {
			t.Errorf("leg %s has two records", r.Offering.Leg)
		}
	}
	when := map[string]span{}
	for _, tale := range b.tales {
		when[tale.id] = tale.span
	}
	missing, reasons := 0, map[string]string{}
	for _, v := range verdicts {
		if v.Leg == "" || count[v.Leg] == 1 {
			continue
		}
		if s, ours := when[v.Call]; !ours || !b.d.lost(s) {
			t.Errorf("call %s, leg %s, which ended as %q, has no record", v.Call, v.Leg, v.Reason)
		}
		missing++
	}
	for _, v := range verdicts {
		reasons[v.Leg] = v.Reason
	}
	for _, r := range b.records {
		if said := reasons[r.Offering.Leg]; r.Offering.Trunk == "office" && said != "" && said != string(r.Reason) {
			t.Errorf("the record of leg %s says %s, the dialplan was told %s", r.Offering.Leg, r.Reason, said)
		}
	}
	t.Logf("%d records, %d lost with a killed process", len(b.records), missing)
}

// judgeCloud looks for the record of every call that Telegram has seen.
func (b *books) judgeCloud(t *testing.T) {
	for _, account := range b.d.accounts {
		for _, out := range []bool{false, true} {
			b.judgeAccount(t, account, out)
		}
	}
}

// judgeAccount compares the calls of one account in one direction, person by person.
func (b *books) judgeAccount(t *testing.T, account stage.Account, out bool) {
	recorded, seen, excused := map[int64]int{}, map[int64]int{}, map[int64]int{}
	for _, r := range b.records {
		if !out && r.Offering.Trunk == account.Name {
			recorded[r.Offering.Party.UserID]++
		}
		for _, attempt := range r.Attempts {
			if out && attempt.Trunk == account.Name {
				recorded[b.idOf(attempt.Party)]++
			}
		}
	}
	for _, c := range b.cloud {
		other, ours := c.Caller, c.Callee
		if out {
			other, ours = ours, other
		}
		if ours != account.User.ID {
			continue
		}
		seen[other]++
		// While no process has the account, nobody is told of calls to it.
		if s := (span{c.Requested, c.Ended}); out && b.lostWith(other, s) || !out && (b.d.disturbed(s) || !b.d.banned.IsZero() && c.Ended.After(b.d.banned)) {
			excused[other]++
		}
	}
	for who, n := range seen {
		if recorded[who] < n-excused[who] {
			t.Errorf("account %s, outgoing %v, person %d: Telegram has seen %d calls, %d of them while something was broken; %d records",
				account.Name, out, who, n, excused[who], recorded[who])
		}
	}
	for who, n := range recorded {
		if !out && n > seen[who] {
			t.Errorf("account %s: %d records of calls of %d, which has made %d", account.Name, n, who, seen[who])
		}
	}
}

// idOf finds the person that a target means.
func (b *books) idOf(p bridge.Party) int64 {
	for _, tale := range b.tales {
		if p.UserID == tale.who.ID || p.Username == tale.who.Username || p.Phone == tale.who.Phone {
			return tale.who.ID
		}
	}
	if p.UserID == dayTalker.ID || p.Username == dayTalker.Username {
		return dayTalker.ID
	}
	return 0
}
