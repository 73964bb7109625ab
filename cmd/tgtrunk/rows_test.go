package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// rowsConfiguration has an account for each thing that can be wrong with one, and routes by the caller's number.
const rowsConfiguration = `data: {{.Dir}}/data
` + onAsterisk + `  - name: annex
    asterisk: {url: "{{.ARI}}", username: {{.User}}, password: {file: {{.Dir}}/ari.password}, app: annex}
guard: {pace: {calls: 0}, strangers: {per_day: 2, warm_up: 0, gap: 0s, declines: {count: 0}}}
numbers: {country: "49", national_prefix: "0"}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, caller: "201", to: company}
  - {from: office, caller: "207", to: company, timeout: 2s}
  - {from: office, caller: "901", to: flooded}
  - {from: office, caller: "902", to: shunned}
  - {from: office, caller: "903", to: spent}
  - {from: office, caller: "904", to: absent}
  - {from: office, caller: "905", to: annex, context: from-telegram, extension: "999"}
  - {from: office, caller: "906", to: annex, context: from-telegram, extension: "126"}
metrics: {listen: "%s"}
records: {file: {{.Dir}}/calls.jsonl}
`

// rowsDialplan tells what the dialplan knows of every call. A caller with the number 201 and the name "2 s" has set
// TGTRUNK_TIMEOUT.
const rowsDialplan = `
exten => _[*+0-9a-zA-Z].,1,ExecIf($["${CALLERID(name)}" = "2 s"]?Set(TGTRUNK_TIMEOUT=2))
 same => n,Stasis(tgtrunk,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,Gosub(telling,s,1)
 same => n,Hangup(${TGTRUNK_CAUSE})

[from-telegram]
exten => 100,1,Dial(PJSIP/100,60)
 same => n,Hangup()
exten => 126,1,Hangup(26)
` + stage.Telling

// account is a further account of the service in a test.
func account(name string, n int64) stage.Account {
	return stage.Account{Name: name, User: cloud.User{
		ID: 5_000_900 + n, Phone: fmt.Sprintf("+4930100090%d", n), Username: name + "_lab", FirstName: name, Code: "10100",
	}}
}

// row is one line of the table of failures, and how it comes about.
type row struct {
	name    string
	caller  string // number; default 201
	display string
	dialled string // default: the person's username
	who     string // whose phone behaves so
	does    phone.Behaviour
	begin   func(ctx context.Context, s *stage.Stage) error                   // before the call; may be nil
	during  func(ctx context.Context, s *stage.Stage, c *lab.PhoneCall) error // may be nil

	sip         int
	q850        int // -1: the caller, who gave up, is told none
	status      string
	reason      bridge.Reason
	retry, late int // TGTRUNK_RETRY_AFTER, and how much less it may be
}

var ignores, declines = phone.Behaviour{Action: phone.Ignore}, phone.Behaviour{Action: phone.Decline}

const aDay = 24 * 60 * 60

// rows that change what happens to the next call of an account come one after the other.
var rowsAlone = []row{
	{name: "Telegram wants the account to wait", caller: "901", who: "alice", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.Flood,
		retry: 3600, late: 2, begin: control(func(c *cloud.Control) { c.FloodNext(5_000_901, "phone.requestCall", 3600) })},
	{name: "it goes on waiting", caller: "901", who: "alice", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.Flood, retry: 3600, late: 60},
	{name: "Telegram limits the account", caller: "902", who: "alice", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.PeerFlood, retry: aDay, late: 60,
		begin: control(func(c *cloud.Control) { c.LimitStrangers(5_000_902, true) })},
	{name: "it is still limited", caller: "902", who: "bob", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.PeerFlood, retry: aDay, late: 60},
	{name: "a first stranger", caller: "903", who: "dora", does: declines, sip: 486, q850: 17, status: "BUSY", reason: bridge.Busy},
	{name: "a second stranger", caller: "903", who: "carol", does: declines, sip: 486, q850: 17, status: "BUSY", reason: bridge.Busy},
	{name: "a third stranger", caller: "903", who: "bob", sip: 503, q850: 42, status: "CONGESTION", reason: bridge.Budget, retry: aDay, late: 60},
	{name: "Telegram holds the account for busy", who: "alice", sip: 486, q850: 17, status: "BUSY", reason: bridge.Occupied,
		begin: control(func(c *cloud.Control) { c.FailNext(stage.Company.ID, "phone.requestCall", 500, "CALL_OCCUPY_FAILED") })},
	{name: "Telegram says something new", who: "alice", sip: 500, q850: 38, status: "CHANUNAVAIL", reason: bridge.Failure,
		begin: control(func(c *cloud.Control) { c.FailNext(stage.Company.ID, "phone.requestCall", 400, "SOMETHING_NEW") })},
}

// rowsTogether are called at once; each has a person of its own.
var rowsTogether = []row{
	{name: "no device is on", who: "egon", sip: 480, q850: 20, status: "CHANUNAVAIL", reason: bridge.Unreachable},
	{name: "nobody answers", caller: "207", who: "nora", does: ignores, sip: 480, q850: 19, status: "NOANSWER", reason: bridge.NoAnswer},
	{name: "nobody answers within the dialplan's time", display: "2 s", who: "theo", does: ignores, sip: 480, q850: 19, status: "NOANSWER", reason: bridge.NoAnswer},
	{name: "the user is in a call", who: "bert", sip: 486, q850: 17, status: "BUSY", reason: bridge.Busy, begin: talks("gerd", "bert")},
	{name: "the user presses decline", who: "dirk", does: declines, sip: 486, q850: 17, status: "BUSY", reason: bridge.Busy},
	{name: "the user refuses", who: "rolf", does: ignores, sip: 403, q850: 21, status: "BUSY", reason: bridge.Declined, during: refuses("rolf")},
	{name: "privacy", who: "paul", sip: 403, q850: 21, status: "CHANUNAVAIL", reason: bridge.Privacy,
		begin: control(func(c *cloud.Control) { c.SetPrivacy(person("paul").ID, cloud.Privacy{Calls: cloud.Nobody}) })},
	{name: "blocked", who: "bodo", sip: 403, q850: 21, status: "CHANUNAVAIL", reason: bridge.Blocked,
		begin: control(func(c *cloud.Control) { c.BlockUser(person("bodo").ID, stage.Company.ID, true) })},
	{name: "a user-id that nobody knows", dialled: "*7777777777", sip: 404, q850: 1, status: "CHANUNAVAIL", reason: bridge.NoDialog},
	{name: "a username that nobody has", dialled: "nobody_at_all", sip: 404, q850: 1, status: "CHANUNAVAIL", reason: bridge.NotFound},
	{name: "a phone number that nobody has", dialled: "+49309999999", sip: 404, q850: 1, status: "CHANUNAVAIL", reason: bridge.NotFound},
	{name: "no route", caller: "999", who: "alice", sip: 404, q850: 3, status: "CHANUNAVAIL", reason: bridge.NoRoute},
	{name: "no such extension", caller: "905", dialled: "12345", sip: 404, q850: 3, status: "CHANUNAVAIL", reason: bridge.NoRoute},
	{name: "no number", dialled: "*12", sip: 484, q850: 28, status: "CHANUNAVAIL", reason: bridge.BadNumber},
	{name: "an old app", who: "olga", sip: 488, q850: 58, status: "CHANUNAVAIL", reason: bridge.OldClient,
		begin: control(func(c *cloud.Control) { c.RefuseVersion(person("olga").ID, true) })},
	{name: "no audio", who: "mia", sip: 500, q850: 38, status: "CHANUNAVAIL", reason: bridge.MediaFailed,
		begin: control(func(c *cloud.Control) { c.LoseSignaling(person("mia").ID, true) })},
	{name: "taken elsewhere", caller: "906", dialled: "12345", sip: 603, q850: 26, status: "BUSY", reason: bridge.Elsewhere},
	{name: "the account itself", dialled: "company_lab", sip: 403, q850: 21, status: "CHANUNAVAIL", reason: bridge.Self},
	{name: "an account that is not logged in", caller: "904", who: "alice", sip: 502, q850: 27, status: "CHANUNAVAIL", reason: bridge.AccountDown},
	{name: "the caller gives up", who: "cora", does: ignores, sip: 487, q850: -1, reason: bridge.Cancelled, during: givesUp("cora")},
}

// rowLast is called while the service ends.
var rowLast = row{name: "the service is ending", who: "alice", sip: 503, q850: 34, status: "CONGESTION", reason: bridge.Congestion}

// rowPeople are known to the account company; their phones are on.
var rowPeople = []string{"nora", "theo", "bert", "gerd", "dirk", "rolf", "paul", "bodo", "olga", "mia", "cora"}

// person is one of the people in a test.
func person(name string) cloud.User {
	if user, ok := stage.People[name]; ok {
		return user
	}
	for i, known := range rowPeople {
		if known == name {
			return cloud.User{
				ID: 5_000_300 + int64(i), Phone: fmt.Sprintf("+4930100030%02d", i), Username: name + "_lab", FirstName: name, Code: "10100",
			}
		}
	}
	panic("nobody is called " + name)
}

func control(do func(*cloud.Control)) func(context.Context, *stage.Stage) error {
	return func(_ context.Context, s *stage.Stage) error {
		do(s.Cloud.Control())
		return nil
	}
}

// talks lets two people talk to each other until the end.
func talks(a, b string) func(context.Context, *stage.Stage) error {
	return func(ctx context.Context, s *stage.Stage) error {
		call, err := s.People[a].CallUsername(ctx, person(b).Username, phone.Behaviour{})
		if err != nil {
			return err
		}
		if !call.Reaches(ctx, func(t phone.Times) time.Time { return t.Established }) {
			return fmt.Errorf("%s and %s cannot talk", a, b)
		}
		return nil
	}
}

// rings waits until somebody's phone rings.
func rings(ctx context.Context, s *stage.Stage, who string) (id int64, err error) {
	if _, err := s.People[who].Incoming(ctx, 0); err != nil {
		return 0, err
	}
	for {
		for _, c := range s.Cloud.Control().ActiveCalls() {
			if c.Callee == person(who).ID && c.State == cloud.CallReceived {
				return c.ID, nil
			}
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func refuses(who string) func(context.Context, *stage.Stage, *lab.PhoneCall) error {
	return func(ctx context.Context, s *stage.Stage, _ *lab.PhoneCall) error {
		id, err := rings(ctx, s, who)
		if err == nil && !s.Cloud.Control().EndCall(id, "hangup") {
			err = fmt.Errorf("the call to %s has ended before", who)
		}
		return err
	}
}

func givesUp(who string) func(context.Context, *stage.Stage, *lab.PhoneCall) error {
	return func(ctx context.Context, s *stage.Stage, c *lab.PhoneCall) error {
		_, err := rings(ctx, s, who)
		c.Hangup()
		return err
	}
}

// Every reason of docs/operations.md comes about at the simulated Telegram, and a real SIP caller at a real Asterisk, the
// dialplan and the record are told so.
func TestEveryFailureIsToldAsTheDocsSay(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, figures := rowsStage(ctx, t)
	goroutines := func() int { return goroutinesAt(ctx, t, figures) }

	if r := callOut(ctx, s, "201", "alice", person("alice").Username); !r.OK {
		t.Fatalf("a call is not right before anything has failed: %s", r.Problem)
	}
	before := goroutines()
	for _, r := range rowsAlone {
		r.check(ctx, t, s)
	}
	if n := s.Cloud.Control().Queries(5_000_901, "phone.requestCall"); n != 1 {
		t.Errorf("Telegram was asked for a call %d times while the account should wait", n)
	}
	var all sync.WaitGroup
	for _, r := range rowsTogether {
		all.Go(func() { r.check(ctx, t, s) })
	}
	all.Wait()
	for _, c := range s.Cloud.Control().ActiveCalls() {
		s.Cloud.Control().EndCall(c.ID, "hangup") // bert's and gerd's
		if c.Caller == stage.Company.ID {
			t.Errorf("a call is left at Telegram: %+v", c)
		}
	}
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
	// Idle connections to ARI, two goroutines each, are kept for ten seconds.
	if after := await(ctx, goroutines, before+3); after > before+3 {
		t.Errorf("the service has %d goroutines after all, and had %d", after, before)
	}

	live, _ := liveCall(ctx, t, s)
	ending := make(chan error, 1)
	if err := syscall.Kill(s.Service.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	go func() { ending <- s.Service.Stop() }()
	for !logged(t, s, "waiting for calls to end") && ctx.Err() == nil {
		<-time.After(10 * time.Millisecond)
	}
	rowLast.check(ctx, t, s)
	if err := <-ending; err != nil {
		t.Error(err)
	}
	if _, err := live.Wait(ctx); err != nil {
		t.Errorf("a call outlives the service: %v", err)
	}
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
	checkRowsAreTheDocs(t)
}

// rowsStage sets the stage for the rows; figures is where the service's metrics are.
func rowsStage(ctx context.Context, t *testing.T) (s *stage.Stage, figures string) {
	t.Helper()
	port, err := lab.FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	o := stage.Options{
		Configuration: fmt.Sprintf(rowsConfiguration, listen), Dialplan: rowsDialplan, ReachedIn: 2 * time.Second,
		Limits: cloud.ClientConfig{ConnectMs: 5000},
		Accounts: []stage.Account{
			{Name: "company", User: stage.Company}, account("flooded", 1), account("shunned", 2), account("spent", 3),
			{Name: "absent", User: account("absent", 4).User, Out: true},
		},
		// Whoever has written is no stranger.
		Prepare: func(s *stage.Stage) error {
			for _, name := range append([]string{"alice", "egon"}, rowPeople...) {
				if err := s.Cloud.Control().SendMessage(person(name).ID, stage.Company.ID, "call me"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	for _, name := range rowPeople {
		o.Extras = append(o.Extras, person(name))
	}
	s, _ = setStageWith(ctx, t, o)
	return s, "http://" + listen + "/metrics"
}

// check makes the row's call and compares what everybody is told.
func (r row) check(ctx context.Context, t *testing.T, s *stage.Stage) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	call, err := r.call(ctx, s)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return
	}
	outcome, err := call.WaitOver(ctx)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return
	}
	if outcome.Status != r.sip || r.q850 >= 0 && outcome.Q850() != r.q850 {
		t.Errorf("%s: the caller gets SIP %d %s, %q, want %d with Q.850 %d", r.name, outcome.Status, outcome.StatusText, outcome.Reason, r.sip, r.q850)
	}
	record, err := stage.Record(ctx, s.Records(), r.name, func(b bridge.Record) bool { return b.Dialled == call.Number() && r.isOf(b) })
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return
	}
	if r.q850 >= 0 {
		r.checkTold(ctx, t, s, call, record)
	}
	if want := bridge.CauseOf(r.reason); record.Reason != r.reason || record.Q850 != want.Q850 {
		t.Errorf("%s: the record says %s (Q.850 %d), want %v", r.name, record.Reason, record.Q850, want)
	}
	if n := len(record.Attempts); n > 0 && record.Attempts[n-1].Reason != r.reason {
		t.Errorf("%s: the record says %s of the attempt", r.name, record.Attempts[n-1].Reason)
	}
}

// call places the row's call.
func (r row) call(ctx context.Context, s *stage.Stage) (*lab.PhoneCall, error) {
	if p := s.People[r.who]; p != nil {
		p.Behave(r.does)
	}
	if r.begin != nil {
		if err := r.begin(ctx, s); err != nil {
			return nil, err
		}
	}
	dialled, caller := r.dialled, r.caller
	if dialled == "" {
		dialled = person(r.who).Username
	}
	if caller == "" {
		caller = "201"
	}
	call, err := s.Phones["201"].Call(ctx, dialled, lab.CallOptions{FromNumber: caller, FromName: r.display})
	if err == nil && r.during != nil {
		err = r.during(ctx, s, call)
	}
	return call, err
}

// isOf says whether a record may be that of the row, by who called and how it ended; where two fit they say the same.
func (r row) isOf(b bridge.Record) bool {
	caller := r.caller
	if caller == "" {
		caller = "201"
	}
	return b.Offering.Party.Number == caller && b.Times.Connected.IsZero() && b.Reason == r.reason
}

// checkTold compares what the dialplan was told.
func (r row) checkTold(ctx context.Context, t *testing.T, s *stage.Stage, call *lab.PhoneCall, record bridge.Record) {
	told, err := s.Verdict(ctx, call.ID())
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return
	}
	if told.Reason != string(r.reason) || told.Status != r.status || told.Cause != strconv.Itoa(r.q850) {
		t.Errorf("%s: the dialplan is told %s, %s, %s, want %s, %s, %d", r.name, told.Status, told.Reason, told.Cause, r.status, r.reason, r.q850)
	}
	retry, _ := strconv.Atoi(told.RetryAfter)
	if retry > r.retry || retry < r.retry-r.late {
		t.Errorf("%s: TGTRUNK_RETRY_AFTER is %q, want %d", r.name, told.RetryAfter, r.retry)
	}
	if r.retry > 0 {
		if n := len(record.Attempts); n == 0 || record.Attempts[n-1].RetryS == 0 {
			t.Errorf("%s: the record has no time after which to try again", r.name)
		}
	}
}

// checkRowsAreTheDocs finds reasons of the documentation that no row has.
func checkRowsAreTheDocs(t *testing.T) {
	t.Helper()
	shown := map[string]string{string(rowLast.reason): fmt.Sprintf("%d/%d", rowLast.q850, rowLast.sip)}
	for _, rows := range [][]row{rowsAlone, rowsTogether} {
		for _, r := range rows {
			shown[string(r.reason)] = fmt.Sprintf("%d/%d", r.q850, r.sip)
		}
	}
	for reason, want := range docsTable(t) {
		if shown[reason] != want {
			t.Errorf("the docs say %s (Q.850/SIP) of %s, the calls have shown %q", want, reason, shown[reason])
		}
	}
}

// docsTable is the table of failures in the documentation: Q.850/SIP by reason.
func docsTable(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n| TGTRUNK_REASON |")
	table, _, _ = strings.Cut(table, "\n\n")
	told := map[string]string{}
	for _, line := range regexp.MustCompile("(?m)^\\| ([A-Z_`, ]+) \\|[^|]*\\| (\\d+) \\| (\\d+) \\|$").FindAllStringSubmatch(table, -1) {
		for _, reason := range regexp.MustCompile("[A-Z_]+").FindAllString(line[1], -1) {
			told[reason] = line[2] + "/" + line[3]
		}
	}
	if len(told) < 20 {
		t.Fatalf("the docs' table has %d reasons", len(told))
	}
	return told
}

// await asks again until a value is small enough, for twenty seconds.
func await(ctx context.Context, ask func() int, enough int) int {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		n := ask()
		if n <= enough {
			return n
		}
		select {
		case <-ctx.Done():
			return n
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// goroutinesAt asks the service's metrics.
func goroutinesAt(ctx context.Context, t *testing.T, url string) int {
	t.Helper()
	_, text := ask(context.WithoutCancel(ctx), t, http.MethodGet, url)
	m := regexp.MustCompile(`(?m)^go_goroutines (\d+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the metrics do not have go_goroutines")
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// logged says whether the service has written something into its log.
func logged(t *testing.T, s *stage.Stage, what string) bool {
	t.Helper()
	text, err := os.ReadFile(s.Service.Log())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), what)
}
