package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
)

func TestBenchPaths(t *testing.T) {
	for _, f := range []benchFlags{{calls: 1, paths: []string{"carrier pigeon"}}, {calls: 0, paths: []string{"direct"}}} {
		if _, err := f.chosen(); err == nil {
			t.Errorf("%+v is accepted", f)
		}
	}
	paths, err := benchFlags{calls: 1, paths: []string{"reflector", "direct"}}.chosen()
	if err != nil || len(paths) != 2 || paths[0].name != "reflector" || paths[0].direct || !paths[1].direct {
		t.Errorf("%+v, %v", paths, err)
	}
}

// Rows that this machine cannot have are left out, and the reason is told.
func TestBenchSides(t *testing.T) {
	t.Setenv("FREESWITCH", "")
	t.Setenv("PATH", t.TempDir())
	sides, lack, err := benchFlags{pbx: sideNames()}.sides()
	if err != nil || len(sides) != 1 || sides[0].pbx != stage.OnAsterisk || !errors.Is(lack, lab.ErrNoFreeSWITCH) {
		t.Errorf("without FreeSWITCH: %+v, %v, %v", sides, lack, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("FREESWITCH", self)
	if sides, lack, err = (benchFlags{pbx: sideNames()}).sides(); err != nil || lack != nil || len(sides) != 4 {
		t.Errorf("with FreeSWITCH: %+v, %v, %v", sides, lack, err)
	}
	if _, _, err := (benchFlags{pbx: []string{"key system"}}).sides(); err == nil {
		t.Error("a pbx that there is not is accepted")
	}
}

// A call that went another way than it is measured for, or no way at all, is no figure.
func TestBenchChecksPaths(t *testing.T) {
	line := func(local string) string {
		return `time=x level=INFO msg="call transport established" call=1 local=` + local + ` remote=prflx took=1s` + "\n"
	}
	for name, c := range map[string]struct {
		log      string
		direct   bool
		complain bool
	}{
		"direct":            {line("host") + line("prflx"), true, false},
		"relayed":           {line("relay") + line("relay"), false, false},
		"one is relayed":    {line("host") + line("relay"), true, true},
		"one is direct":     {line("relay") + line("host"), false, true},
		"one is not there":  {line("relay"), false, true},
		"nothing is logged": {"msg=other local=relay\n", false, true},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(c.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkPaths(path, 2, c.direct); (err != nil) != c.complain {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBenchVerdicts(t *testing.T) {
	at := time.Now()
	result := func(path benchPath, connect time.Duration) benchResult {
		path.title = path.name
		return benchResult{path: path, connects: []time.Duration{connect}, setups: []time.Duration{time.Second},
			begin: usage{at: at}, end: usage{at: at.Add(10 * time.Second), cpu: 100 * time.Millisecond, memory: 600_000},
			pbx: [2]usage{{at: at}, {at: at.Add(10 * time.Second), cpu: 60 * time.Millisecond}}}
	}
	var text strings.Builder
	err := printBench(&text, benchFlags{calls: 2, length: time.Second}, []benchResult{
		result(benchPaths[0], 300*time.Millisecond), result(benchPaths[1], 601*time.Millisecond), result(benchPaths[2], time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{"direct 300 ms", "≤ 300 ms pass", "5.0 ms 300 kB 3.0 ms"}, {"reflector 601 ms", "≤ 600 ms MISS"}, {"turn 1000 ms", "– –"},
	} {
		line := strings.Join(strings.Fields(strings.Split(text.String(), "\n")[3+i]), " ")
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("line %q lacks %q", line, w)
			}
		}
	}
}

// The command itself, with two calls that go straight, and what it prints of them.
func TestBench(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := program(ctx, t, "bench", "--calls", "2", "--length", "2s", "--paths", "direct", "--pbx", "asterisk")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &errs)
	}
	if !strings.HasPrefix(out.String(), "2 calls at once, 2s; connect is ") || strings.Count(out.String(), "verdict") != 1 {
		t.Errorf("it prints\n%s", &out)
	}
	row := regexp.MustCompile(`(?m)^direct +(\d+) ms +(\d+) ms +≤ (\d+) ms +(pass|MISS) +(\d+) ms +(\d+) ms +(\d+\.\d) ms +(-?\d+) kB +(\d+\.\d) ms$`)
	all := row.FindAllStringSubmatch(out.String(), -1)
	if len(all) != 1 {
		t.Fatalf("it prints %d rows of direct calls, want 1:\n%s", len(all), &out)
	}
	var figures [10]float64
	for i, text := range all[0] {
		figures[i], _ = strconv.ParseFloat(text, 64) // the verdict is none
	}
	connect, slowest, target, setUp, cpu, memory, pbx := figures[1], figures[2], figures[3], figures[5], figures[7], figures[8], figures[9]
	switch pass := all[0][4] == "pass"; {
	case connect <= 0, connect > slowest, setUp <= 0, setUp > figures[6], setUp > 20_000:
		t.Errorf("these are no times of calls: %s", all[0][0])
	case pass != (connect <= target), target != 300:
		t.Errorf("this is no verdict: %s", all[0][0])
	case cpu <= 0, cpu > 1000, pbx > 1000:
		t.Errorf("this is not what a call costs: %s", all[0][0])
	case memory <= 0, memory > 50_000:
		t.Errorf("this is not what a call takes: %s", all[0][0])
	}
	for _, kind := range []string{"PCMU→opus", "opus→PCMU"} {
		m := regexp.MustCompile(`(?m)^added latency, direct, ` + kind + `: p50 (\S+), p99 (\S+)$`).FindStringSubmatch(out.String())
		if m == nil {
			t.Errorf("the latency of %s is missing:\n%s", kind, &out)
			continue
		}
		p50, err1 := time.ParseDuration(m[1])
		p99, err2 := time.ParseDuration(m[2])
		if err := errors.Join(err1, err2); err != nil || p50 <= 0 || p50 > p99 {
			t.Errorf("%s: %v", m[0], err)
		}
	}
}
