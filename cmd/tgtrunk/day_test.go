package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/store/storetest"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

const (
	dayCalls  = 500
	dayPace   = 110 * time.Millisecond // between two calls
	dayBudget = 6                      // strangers an account
	dayFlood  = 22 * time.Second
	dayLease  = 5 * time.Second
)

// dayConfiguration is that of either of two processes on one Redis.
const dayConfiguration = `store:
  redis: {url: "%s"}
  key: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
  lease: ` + "5s" + `
` + onAsterisk + `guard: {pace: {calls: 0}, strangers: {per_day: 6, warm_up: 0, gap: 0s, declines: {count: 0}}}
numbers: {country: "49", national_prefix: "0"}
routes:
  - {from: one, to: office, context: from-telegram, extension: "100"}
  - {from: two, to: office, context: from-telegram, extension: "100"}
  - {from: office, caller: "201", to: one}
  - {from: office, caller: "202", to: two}
  - {from: office, caller: "203", to: [one, two]}
records: {file: {{.Dir}}/{{.Service}}.jsonl}
`

// dayDialplan tries the one service, then the other, and tells of every call at its very end.
const dayDialplan = `
exten => _[*+0-9a-zA-Z].,1,Set(CHANNEL(hangup_handler_push)=telling,s,1)
 same => n,ExecIf($["${CALLERID(name)}" = "2 s"]?Set(TGTRUNK_TIMEOUT=2))
 same => n,Stasis(left,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,GotoIf($["${STASISSTATUS}" != "FAILED" & "${TGTRUNK_REASON}" != "ACCOUNT_DOWN"]?end)
 same => n,Gosub(telling,s,1)
 same => n,Set(TGTRUNK_LEG=)
 same => n,Set(TGTRUNK_REASON=)
 same => n,Stasis(right,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,ExecIf($["${STASISSTATUS}" = "FAILED"]?Set(TGTRUNK_CAUSE=27))
 same => n(end),Hangup(${TGTRUNK_CAUSE})

[from-telegram]
exten => 100,1,Dial(PJSIP/100,60)
 same => n,Hangup()
` + stage.Telling

// span is a time; its end is zero while it lasts.
type span struct{ from, to time.Time }

// touches says whether it has an instant in common with another that has ended.
func (s span) touches(o span) bool {
	return !o.to.Before(s.from) && (s.to.IsZero() || !o.from.After(s.to))
}

func (s span) holds(o span) bool { return !o.from.Before(s.from) && !o.to.After(s.to) }

// day is a stage with two processes, and what happens on it.
type day struct {
	*stage.Stage
	options  stage.Options
	accounts []stage.Account
	script   []errand

	friends, strangers chan string // people who are free

	mu       sync.Mutex
	desk     map[string]*deskCall // calls that the desk phone waits for, by the caller's number
	deskAll  []*lab.PhoneCall
	troubles []span // while something is broken on purpose
	kills    []time.Time
	floods   map[int64][]span // by account
	breaches []string         // of flood waits
	overlaps map[int64]time.Duration
	since    map[int64]time.Time // two sessions at once
	limited  time.Time           // account one, towards strangers
	banned   time.Time           // account two
	problems []string
}

// deskCall is what the desk phone is to do with a call.
type deskCall struct {
	does lab.Behaviour
	come chan *lab.PhoneCall
}

func (d *day) problem(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

// A day of two processes that share two accounts, with a call every tenth of a second in either direction, in which
// everything goes wrong once. TGTRUNK_DAY_SEED makes it another day.
func TestDay(t *testing.T) {
	seed := uint64(20251122)
	if n, err := strconv.ParseUint(os.Getenv("TGTRUNK_DAY_SEED"), 10, 64); err == nil {
		seed = n
	}
	pace := dayPace
	if built, ok := debug.ReadBuildInfo(); ok && slices.Contains(built.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		pace *= 5 // the services are this program, too
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute+dayCalls*2*pace)
	defer cancel()
	d := newDay(ctx, t, seed)
	begun := time.Now()
	tales := d.play(ctx, pace)
	t.Logf("%d calls took %v", len(tales), time.Since(begun).Round(time.Second))
	d.judge(ctx, t, tales)
}

func newDay(ctx context.Context, t *testing.T, seed uint64) *day {
	t.Helper()
	d := &day{
		accounts: []stage.Account{account("one", 1), account("two", 2)}, script: writeScript(seed, dayCalls),
		friends: make(chan string, dayFriends), strangers: make(chan string, dayStrangers), desk: map[string]*deskCall{},
		floods: map[int64][]span{}, overlaps: map[int64]time.Duration{}, since: map[int64]time.Time{},
	}
	friends, strangers := dayPeople("friend", 1, dayFriends), dayPeople("stranger", 2, dayStrangers)
	for _, f := range friends {
		d.friends <- f.FirstName
	}
	for _, s := range strangers {
		d.strangers <- s.FirstName
	}
	absent := []cloud.User{dayAbsent, dayPrivate, dayBlocks}
	d.Stage, d.options = setStageWith(ctx, t, stage.Options{
		Configuration: fmt.Sprintf(dayConfiguration, storetest.StartRedis(t).URL()), Dialplan: dayDialplan, Services: []string{"left", "right"},
		ReachedIn: 2 * time.Second, RelayARI: true, Accounts: d.accounts, Absent: absent,
		Extras: slices.Concat(friends, strangers, []cloud.User{dayTalker}),
		// Calls that a dead process has left end soon.
		Timeouts: cloud.Timeouts{Receive: 8 * time.Second, Ring: 15 * time.Second, Confirm: 10 * time.Second},
		Prepare: func(s *stage.Stage) error {
			return d.prepare(s.Cloud.Control(), slices.Concat(friends, absent, []cloud.User{dayTalker}))
		},
	})
	d.Phones["100"].SetAnswerBy(d.atDesk)
	return d
}

// prepare makes those who have written, those who take no calls, and whoever watches.
func (d *day) prepare(c *cloud.Control, known []cloud.User) error {
	for _, account := range d.accounts {
		for _, user := range known {
			if err := c.SendMessage(user.ID, account.User.ID, "call me"); err != nil {
				return err
			}
		}
		c.BlockUser(dayBlocks.ID, account.User.ID, true)
	}
	c.SetPrivacy(dayPrivate.ID, cloud.Privacy{Calls: cloud.Nobody})
	c.WatchQueries(d.seeQuery)
	c.WatchLinks(d.seeLink)
	return nil
}

// seeQuery finds requests that Telegram had asked to leave alone.
func (d *day) seeQuery(q cloud.Query) {
	if q.Method != "phone.requestCall" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, wait := range d.floods[q.User] {
		onItsWay := q.At.Before(wait.from.Add(500 * time.Millisecond)) // when the wait was told
		if !onItsWay && q.At.Before(wait.to.Add(-100*time.Millisecond)) {
			d.breaches = append(d.breaches, fmt.Sprintf("account %d asks at %v, and should not until %v", q.User, q.At, wait.to))
		}
	}
	if q.Wait > 0 {
		d.floods[q.User] = append(d.floods[q.User], span{q.At, q.At.Add(q.Wait)})
	}
}

// seeLink measures how long two sessions of one login were connected at once.
func (d *day) seeLink(key int64, live int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, two := d.since[key]
	switch {
	case live > 1 && !two:
		d.since[key] = time.Now()
	case live <= 1 && two:
		d.overlaps[key] = max(d.overlaps[key], time.Since(since))
		delete(d.since, key)
	}
}

// atDesk is what the desk phone does with a call.
func (d *day) atDesk(number string) lab.Behaviour {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.desk[number]; c != nil {
		return c.does
	}
	return lab.Refuse(480, 0) // its caller has given up
}

// answerDesk hands the desk phone's calls to those who wait for them.
func (d *day) answerDesk(ctx context.Context) {
	for {
		call, err := d.Phones["100"].NextCall(ctx)
		if err != nil {
			return
		}
		d.mu.Lock()
		d.deskAll = append(d.deskAll, call)
		if c := d.desk[call.Number()]; c != nil {
			select {
			case c.come <- call:
			default:
			}
		}
		d.mu.Unlock()
	}
}

// play lets all calls begin, one after the other, and everything that the day brings.
func (d *day) play(ctx context.Context, pace time.Duration) []tale {
	tales := make([]tale, len(d.script))
	watching, stop := context.WithCancel(ctx)
	var running, events, desk sync.WaitGroup
	desk.Go(func() { d.answerDesk(watching) })
	acts := d.acts()
	begin := time.NewTicker(pace)
	defer begin.Stop()
	for i, e := range d.script {
		if act := acts[i]; act != nil {
			events.Wait()
			events.Go(func() { act(ctx) })
		}
		select {
		case <-ctx.Done():
		case <-begin.C:
		}
		running.Go(func() { tales[i] = d.tell(ctx, e) })
	}
	running.Wait()
	events.Wait()
	stop()
	desk.Wait()
	return tales
}

// acts are what happens beside the calls, by the number of the call before which it begins.
func (d *day) acts() map[int]func(context.Context) {
	at := func(share float64) int { return int(share * float64(len(d.script))) }
	return map[int]func(context.Context){
		at(0.04): d.limits,
		at(0.10): d.killed,
		at(0.34): d.flooded,
		at(0.66): d.cut,
		at(0.74): d.dropped,
		at(0.92): d.ban,
	}
}

// trouble notes that from here to the end of the returned function calls may fail in other ways.
func (d *day) trouble() (over func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.troubles)
	d.troubles = append(d.troubles, span{from: time.Now()})
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.troubles[n].to = time.Now().Add(500 * time.Millisecond)
	}
}

// ups is when each account came up last, and in which process, by the logs.
func (d *day) ups() map[string]up {
	last := map[string]up{}
	for _, name := range d.options.Services {
		text, err := os.ReadFile(d.ServiceOf(name).Log())
		if err != nil {
			d.problem("%v", err)
		}
		for line := range strings.Lines(string(text)) {
			_, account, is := strings.Cut(line, `msg="account is up" trunk=`)
			if !is {
				continue
			}
			at, err := time.Parse("time=2006-01-02T15:04:05.000Z", strings.Fields(line)[0])
			if account = strings.Fields(account)[0]; err == nil && at.After(last[account].at) {
				last[account] = up{at, name}
			}
		}
	}
	return last
}

// up is an account that a process has.
type up struct {
	at time.Time
	in string
}

// active is the process that has account one.
func (d *day) active() string { return d.ups()[d.accounts[0].Name].in }

// takeover ends the active process, waits until the other one has the accounts, and starts it again.
func (d *day) takeover(ctx context.Context, end func(*stage.Service)) {
	defer d.trouble()()
	name, began := d.active(), time.Now()
	end(d.ServiceOf(name))
	gone := time.Now()
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, account := range d.accounts {
		// In an orderly end the accounts are given back, and may be up again, before the process is gone.
		for up := d.ups()[account.Name]; (up.in == name || !up.at.After(began)) && waiting.Err() == nil; up = d.ups()[account.Name] {
			<-time.After(20 * time.Millisecond)
		}
	}
	if took := time.Since(gone); took > 2*dayLease+5*time.Second {
		d.problem("the other process has taken over after %v only", took)
	}
	if err := d.StartService(ctx, d.options, name); err != nil {
		d.problem("%v", err)
	}
	if d.active() == name {
		d.problem("process %s has the accounts again, and the other one does not", name)
	}
}

func (d *day) killed(ctx context.Context) {
	d.takeover(ctx, func(s *stage.Service) {
		d.mu.Lock()
		d.kills = append(d.kills, time.Now())
		d.mu.Unlock()
		s.Kill()
	})
}

// flooded lets Telegram ask account two to wait, then stops the process that knows.
func (d *day) flooded(ctx context.Context) {
	c, two := d.Cloud.Control(), d.accounts[1].User.ID
	over := d.trouble()
	c.FloodNext(two, "phone.requestCall", int(dayFlood.Seconds()))
	for ctx.Err() == nil {
		d.mu.Lock()
		asked := len(d.floods[two]) > 0
		d.mu.Unlock()
		if asked {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	over()
	d.takeover(ctx, func(s *stage.Service) {
		if err := s.Stop(); err != nil {
			d.problem("%v", err)
		}
	})
}

// cut ends the connection to Asterisk while somebody talks, who goes on.
func (d *day) cut(ctx context.Context) {
	sip, tg, err := d.talking(ctx)
	if err != nil {
		d.problem("no call is up before the connection to Asterisk is cut: %v", err)
		return
	}
	defer sip.Hangup()
	over := d.trouble()
	if d.ARI.Cut() == 0 {
		d.problem("there is no connection to Asterisk")
	}
	atPBX, atPhone := sip.Audio().Stats().PacketsReceived, tg.Heard().Packets
	<-time.After(2 * time.Second)
	over()
	select {
	case <-sip.Over():
		d.problem("a call ends with the connection to Asterisk: %s", pbxCause(sip.Outcome()))
		return
	default:
	}
	atPBX, atPhone = sip.Audio().Stats().PacketsReceived-atPBX, tg.Heard().Packets-atPhone
	if atPBX < 60 || atPhone < 20 {
		d.problem("%d packets at the PBX and %d at Telegram while there is no connection to Asterisk", atPBX, atPhone)
	}
	sip.Hangup()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := tg.Wait(ctx); err != nil {
		d.problem("a call does not end after the connection to Asterisk is back: %v", err)
	}
}

// talking is a call that is up, via account one.
func (d *day) talking(ctx context.Context) (*lab.PhoneCall, *phone.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	person := d.People[dayTalker.FirstName]
	person.Behave(phone.Behaviour{Voice: d.Voice, Deaf: true})
	next := person.Received()
	sip, err := d.Phones["201"].Call(context.WithoutCancel(ctx), dayTalker.Username, lab.CallOptions{})
	if err != nil {
		return nil, nil, err
	}
	tg, err := person.Incoming(ctx, next)
	if err == nil {
		_, err = firstAudio(ctx, tg, sip)
	}
	if err != nil {
		sip.Hangup()
	}
	return sip, tg, err
}

// dropped cuts the connections to Telegram.
func (d *day) dropped(ctx context.Context) {
	defer d.trouble()()
	for _, account := range d.accounts {
		d.Cloud.Control().DropConnections(account.User.ID)
	}
	if err := d.Ready(ctx); err != nil {
		d.problem("%v", err)
	}
	<-time.After(time.Second)
}

// limits makes Telegram limit account one.
func (d *day) limits(context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limited = time.Now()
	go d.Cloud.Control().LimitStrangers(d.accounts[0].User.ID, true)
}

// ban logs account two out.
func (d *day) ban(context.Context) {
	defer d.trouble()()
	d.mu.Lock()
	d.banned = time.Now()
	d.mu.Unlock()
	if n := d.Cloud.Control().RevokeSessions(d.accounts[1].User.ID); n != 1 {
		d.problem("account two has %d sessions", n)
	}
	<-time.After(time.Second)
}
