package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// usage is what a process has used so far.
type usage struct {
	at     time.Time
	cpu    time.Duration
	memory int64 // bytes of its own; the program's pages, which any number of calls share, are left out
}

// usageOf reads /proc/PID/stat and status (proc(5)).
func usageOf(pid int) (usage, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field, the name, may hold spaces; it ends at the last parenthesis. utime and stime are fields 14, 15.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return usage{}, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	m := regexp.MustCompile(`(?m)^RssAnon:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		return usage{}, fmt.Errorf("read /proc/%d/status: no RssAnon", pid)
	}
	anonymous, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return usage{}, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return usage{at: time.Now(), cpu: time.Duration(user+system) * tick, memory: anonymous << 10}, nil
}

var transportPattern = regexp.MustCompile(`msg="call transport established" .*\blocal=(\S+)`)

// checkPaths makes sure that all calls took the way that they are measured for, as the service has logged it.
func checkPaths(path string, calls int, direct bool) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	established := 0
	for _, m := range transportPattern.FindAllSubmatch(text, -1) {
		if relayed := string(m[1]) == "relay"; relayed == direct {
			return fmt.Errorf("a call went over a candidate of type %s", m[1])
		}
		established++
	}
	if established < calls {
		return fmt.Errorf("%d of %d calls have a transport", established, calls)
	}
	return nil
}

var latencyPattern = regexp.MustCompile(`msg="audio ended" .*conversion=(\S+) .*latency_p50=(\S+) latency_p99=(\S+)`)

// latencies collects what the service has logged of its conversions: by kind, the medians of p50 and p99.
func latencies(path string) (map[string][2]time.Duration, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := map[string][2][]time.Duration{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if m := latencyPattern.FindStringSubmatch(lines.Text()); m != nil {
			both := all[m[1]]
			for i := range both {
				if d, err := time.ParseDuration(m[2+i]); err == nil {
					both[i] = append(both[i], d)
				}
			}
			all[m[1]] = both
		}
	}
	medians := map[string][2]time.Duration{}
	for kind, both := range all {
		medians[kind] = [2]time.Duration{quantile(both[0], 0.5), quantile(both[1], 0.5)}
	}
	return medians, lines.Err()
}

func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// milliseconds is the CPU time per call and second of a process between two looks.
func milliseconds(begin, end usage, calls int) string {
	share := (end.cpu - begin.cpu).Seconds() / end.at.Sub(begin.at).Seconds()
	return fmt.Sprintf("%.1f ms", 1000*share/float64(calls))
}

// verdict compares the connect time with the target.
func (r benchResult) verdict() string {
	switch {
	case r.path.target == 0:
		return "–"
	case quantile(r.connects, 0.5) <= r.path.target:
		return "pass"
	}
	return "MISS"
}

// printBench writes a table with a line for each path.
func printBench(w io.Writer, flags benchFlags, results []benchResult) error {
	fmt.Fprintf(w, "%d calls at once, %v; connect is from the acceptance until ICE and DTLS are up, set-up until audio both ways\n\n", flags.calls, flags.length)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "path\tconnect p50\tp99\ttarget p50\tverdict\tset-up p50\tp99\tCPU per call and second\tmemory per call\tthe PBX's CPU")
	ms := func(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
	for _, r := range results {
		target := "–"
		if r.path.target > 0 {
			target = "≤ " + ms(r.path.target)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d kB\t%s\n", r.path.title,
			ms(quantile(r.connects, 0.5)), ms(quantile(r.connects, 0.99)), target, r.verdict(),
			ms(quantile(r.setups, 0.5)), ms(quantile(r.setups, 0.99)),
			milliseconds(r.begin, r.end, flags.calls), (r.end.memory-r.idle.memory)/1000/int64(flags.calls),
			milliseconds(r.pbx[0], r.pbx[1], flags.calls))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, r := range results {
		for _, kind := range slices.Sorted(maps.Keys(r.latencies)) {
			both := r.latencies[kind]
			fmt.Fprintf(w, "added latency, %s, %s: p50 %v, p99 %v\n", r.path.title, kind, both[0].Round(time.Microsecond), both[1].Round(time.Microsecond))
		}
	}
	return nil
}
