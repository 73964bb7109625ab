package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
)

const hostsConfiguration = `store: {redis: {url: "%s", timeout: 2s}, key: "%s", lease: 5s}
` + onAsterisk + `guard: {pace: {calls: 0}, strangers: {per_day: -1, gap: 0s, declines: {count: 0}}}
routes:
  - {from: company, to: office, context: from-telegram, extension: "100"}
  - {from: office, to: company}
records: {file: {{.Dir}}/{{.Service}}.jsonl}
`

// dialplanOfTwoHosts is the one of docs/operations.md, as it stands there.
func dialplanOfTwoHosts(t *testing.T) string {
	t.Helper()
	for _, b := range blocks(t) {
		if b.language == "ini" && strings.HasSuffix(b.file, "operations.md") && strings.Contains(b.text, "Stasis(left,") {
			return "\n" + b.text
		}
	}
	t.Fatal("docs/operations.md has no dialplan of two hosts")
	return ""
}

// The dialplan of the docs, with two services on one Redis: every call goes to the one that has the account, whether the
// other stands by, has been stopped, or died; and where nobody has it the caller is told so.
func TestTwoHostsWithTheDialplanOfTheDocs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	s, o := setStageWith(ctx, t, stage.Options{
		Configuration: fmt.Sprintf(hostsConfiguration, storetest.StartRedis(t).URL(), store.NewSecret()),
		Services:      []string{"left", "right"},
		Dialplan:      dialplanOfTwoHosts(t) + "\n[from-telegram]\nexten => 100,1,Dial(PJSIP/100,60)\n same => n,Hangup()\n",
	})
	carries := func(when, service string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		before := recordsOf(t, s, service)
		if r := callOut(ctx, s, "201", "alice", person("alice").Username); !r.OK {
			t.Fatalf("%s: the call is not right: %s", when, r.Problem)
		}
		for recordsOf(t, s, service) == before {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%s: the call was not carried by %s", when, service)
			}
		}
	}
	carries("the right one stands by", "left")

	if err := s.ServiceOf("left").Stop(); err != nil {
		t.Fatal(err)
	}
	awaitLog(ctx, t, s.ServiceOf("right").Log(), "account is up", 1)
	carries("the left one is stopped", "right")

	if err := s.LaunchService(ctx, o, "left"); err != nil {
		t.Fatal(err)
	}
	awaitLog(ctx, t, s.ServiceOf("left").Log(), "standing by", 1)
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	carries("the left one stands by", "right")

	s.ServiceOf("right").Kill()
	sip, err := s.Phones["201"].Call(ctx, person("alice").Username, lab.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := sip.WaitOver(ctx)
	if want := bridge.CauseOf(bridge.AccountDown); err != nil || outcome.Status != 502 || outcome.Q850() != int(want.Q850) {
		t.Errorf("while nobody has the account the caller gets SIP %d, %q, %v", outcome.Status, outcome.Reason, err)
	}
	awaitLog(ctx, t, s.ServiceOf("left").Log(), "account is up", 2)
	carries("the right one is dead", "left")
	if err := s.ServiceOf("left").Stop(); err != nil {
		t.Fatal(err)
	}
	if sip, err = s.Phones["201"].Call(ctx, person("alice").Username, lab.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	if outcome, err := sip.WaitOver(ctx); err != nil || outcome.Status != 503 {
		t.Errorf("while there is no service the caller gets SIP %d, %q, %v", outcome.Status, outcome.Reason, err)
	}
	for _, service := range []string{"left", "right"} {
		if err := s.LaunchService(ctx, o, service); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ready(ctx); err != nil {
		t.Error(err)
	}
	if err := s.Settled(ctx); err != nil {
		t.Error(err)
	}
}

// recordsOf is how many calls a service has written down that were up.
func recordsOf(t *testing.T, s *stage.Stage, service string) (n int) {
	t.Helper()
	all, err := stage.Records(s.Dir + "/" + service + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if !r.Times.Connected.IsZero() {
			n++
		}
	}
	return n
}

// awaitLog waits until a log has said something so many times.
func awaitLog(ctx context.Context, t *testing.T, path, what string, times int) {
	t.Helper()
	for {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(text, []byte(what)) >= times {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the service never says %q for the %dth time:\n%s", what, times, last(text, 3000))
		}
	}
}

// How long an account is with nobody: after an orderly end it is taken over at once, by asking often, and after a death
// when its lease has run out, not earlier. The figures are in docs/operations.md.
func TestHandOver(t *testing.T) {
	server := storetest.StartRedis(t)
	o := newOffice(t)
	configure := func(name, lease string) string {
		return o.configure(name, fmt.Sprintf(`store: {redis: {url: "%s"}, key: "%s", lease: %s}`, server.URL(), strings.Repeat("0", 64), lease))
	}
	long, short := configure("long.yaml", "30s"), configure("short.yaml", "5s")
	o.must("10001\n", "login", "--account", "sales", "--config", long)
	o.must("10002\n", "login", "--account", "support", "--config", long)

	has := o.host(long)
	has.await("account is up", 2)
	wantListening(t, has.pid())
	var clean []time.Duration
	for range 4 {
		next := o.host(long)
		next.await("standing by", 2)
		began := time.Now()
		has.end(os.Interrupt)
		next.await("account is up", 2)
		clean = append(clean, time.Since(began).Round(time.Millisecond))
		has = next
	}
	has.end(os.Interrupt)
	slices.Sort(clean)
	t.Logf("two accounts are handed over %v after an orderly end", clean)
	if late := clean[len(clean)-1]; late > 5*time.Second { // who looks every third of a lease takes up to ten
		t.Errorf("a hand-over took %v", late)
	}

	const lease = 5 * time.Second
	has = o.host(short)
	has.await("account is up", 2)
	next := o.host(short)
	next.await("standing by", 2)
	began := time.Now()
	has.end(os.Kill)
	next.await("account is up", 2)
	took := time.Since(began).Round(time.Millisecond)
	t.Logf("two accounts are handed over %v after a death, with a lease of %v", took, lease)
	if took < lease/4 || took > lease+4*time.Second {
		t.Errorf("after a death, with a lease of %v, the accounts are taken over after %v", lease, took)
	}
	next.end(os.Interrupt)
}

// host is a service whose log is read while it runs.
type host struct {
	*office
	log  string
	stop func(os.Signal) error
	id   int
}

func (o *office) host(path string) *host {
	o.t.Helper()
	out, err := os.CreateTemp(o.dir, "*.log")
	if err != nil {
		o.t.Fatal(err)
	}
	cmd := program(o.ctx, o.t, "run", "--config", path)
	cmd.Stderr = out
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	h := &host{office: o, log: out.Name(), id: cmd.Process.Pid}
	var once sync.Once
	h.stop = func(s os.Signal) (err error) {
		once.Do(func() {
			_ = cmd.Process.Signal(s)
			err = cmd.Wait()
			_ = out.Close()
		})
		return err
	}
	o.t.Cleanup(func() { _ = h.stop(os.Interrupt) })
	return h
}

func (h *host) pid() int { return h.id }

func (h *host) await(what string, times int) {
	h.t.Helper()
	awaitLog(h.ctx, h.t, h.log, what, times)
}

func (h *host) end(s os.Signal) {
	h.t.Helper()
	if err := h.stop(s); err != nil && s != os.Kill {
		h.t.Errorf("the service ends with %v", err)
	}
}
