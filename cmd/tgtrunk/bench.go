package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

type benchFlags struct {
	calls  int
	length time.Duration
}

func newBenchCommand() *cobra.Command {
	var flags benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the service under calls: CPU, memory, added latency, set-up time",
		Long: `Let simulated phones (60 ms Opus) call the account of an ordinary service, all at once, and an Asterisk answer them in
G.711 at 20 ms. The figures are those of the service process alone.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runBench(c, flags) },
	}
	c.Flags().IntVar(&flags.calls, "calls", 60, "calls at once")
	c.Flags().DurationVar(&flags.length, "length", 20*time.Second, "how long to measure")
	return c
}

func runBench(c *cobra.Command, flags benchFlags) (err error) {
	ctx, say := c.Context(), func(text string) { fmt.Fprintln(c.ErrOrStderr(), "…", text) }
	dir, cleanup, err := demoDirectory("")
	if err != nil {
		return err
	}
	defer cleanup()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var callers []cloud.User
	for i := range flags.calls {
		callers = append(callers, cloud.User{
			ID: int64(6_000_000 + i), Phone: fmt.Sprintf("+4930200%04d", i), FirstName: fmt.Sprintf("Caller %d", i), Code: "12345",
		})
	}
	s, err := stage.Start(ctx, stage.Options{Dir: dir, Binary: program, Progress: say, Install: c.ErrOrStderr(), Extras: callers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()

	idle, err := usageOf(s.Service.Pid())
	if err != nil {
		return err
	}
	say(fmt.Sprintf("placing %d calls", flags.calls))
	live, setups, err := placeCalls(ctx, s, callers)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("measuring for %v", flags.length))
	begin, err := usageOf(s.Service.Pid())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(flags.length):
	}
	end, err := usageOf(s.Service.Pid())
	if err != nil {
		return err
	}
	for _, call := range live {
		call.Hangup()
	}
	if err := s.Settled(ctx); err != nil {
		return err
	}
	return printBench(c.OutOrStdout(), s, flags, setups, idle, begin, end)
}

// placeCalls lets every caller call the account, one after the other, and returns the set-up times: from the acceptance
// of the Telegram call to the first audio on both sides.
func placeCalls(ctx context.Context, s *stage.Stage, callers []cloud.User) ([]*phone.Call, []time.Duration, error) {
	s.Phones["100"].SetAnswer(lab.AnswerAfter(0))
	var (
		live   []*phone.Call
		setups []time.Duration
	)
	for _, user := range callers {
		call, err := s.People[user.FirstName].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice, Deaf: true})
		if err != nil {
			return nil, nil, err
		}
		live = append(live, call)
		answered, err := s.Phones["100"].NextCall(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("call of %s does not reach extension 100: %w", user.FirstName, err)
		}
		first, err := firstAudio(ctx, call, answered)
		if err != nil {
			return nil, nil, fmt.Errorf("call of %s: %w", user.FirstName, err)
		}
		setups = append(setups, first.Sub(call.Times().Accepted))
	}
	return live, setups, nil
}

// firstAudio waits until both sides have got audio and says when the later of the two had.
func firstAudio(ctx context.Context, call *phone.Call, sip *lab.PhoneCall) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		atPhone, atPBX := call.Heard().Arrived, sip.Audio().Stats().FirstReceived
		if !atPhone.IsZero() && !atPBX.IsZero() {
			if atPBX.After(atPhone) {
				return atPBX, nil
			}
			return atPhone, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("no audio both ways: %w", ctx.Err())
		case <-look.C:
		}
	}
}

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

func printBench(w io.Writer, s *stage.Stage, flags benchFlags, setups []time.Duration, idle, begin, end usage) error {
	cpu := (end.cpu - begin.cpu).Seconds() / end.at.Sub(begin.at).Seconds()
	fmt.Fprintf(w, "calls                       %d\n", flags.calls)
	fmt.Fprintf(w, "CPU per call and second     %.1f ms\n", 1000*cpu/float64(flags.calls))
	fmt.Fprintf(w, "memory per call             %d kB\n", (end.memory-idle.memory)/1000/int64(flags.calls))
	fmt.Fprintf(w, "set-up (accept to audio)    p50 %d ms, p99 %d ms\n", quantile(setups, 0.5).Milliseconds(), quantile(setups, 0.99).Milliseconds())
	medians, err := latencies(s.Service.Log())
	for kind, both := range medians {
		fmt.Fprintf(w, "added latency %-13s p50 %v, p99 %v\n", kind, both[0], both[1])
	}
	return err
}
