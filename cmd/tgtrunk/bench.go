package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

type benchFlags struct {
	calls  int
	length time.Duration
	paths  []string
	pbx    []string
}

// benchSide is what the calls meet on the other side: a PBX, and how the service's audio goes there.
type benchSide struct {
	name  string // as in --pbx
	title string // "" where the path says all
	pbx   stage.PBX
	codec string // of the leg in FreeSWITCH
}

var benchSides = []benchSide{
	{name: "asterisk", pbx: stage.OnAsterisk},
	{name: "freeswitch-l16", title: "FreeSWITCH L16/16k", pbx: stage.OnFreeSWITCH, codec: esl.CodecL16},
	{name: "freeswitch-pcmu", title: "FreeSWITCH PCMU", pbx: stage.OnFreeSWITCH, codec: esl.CodecPCMU},
	{name: "freeswitch-opus", title: "FreeSWITCH Opus, untouched", pbx: stage.OnFreeSWITCH, codec: esl.CodecOpus},
}

// benchPath is a way that calls take between a phone and the service.
type benchPath struct {
	name   string
	relay  cloud.Relay   // what the simulated Telegram gives to calls
	direct bool          // and whether they may be direct
	target time.Duration // for the median of the connect time on one machine; 0: none

	title string // of the row
	side  benchSide
}

var benchPaths = []benchPath{
	{name: "direct", relay: cloud.Relay{TURN: true}, direct: true, target: 300 * time.Millisecond},
	{name: "reflector", relay: cloud.Relay{Reflector: true}, target: 600 * time.Millisecond},
	{name: "turn", relay: cloud.Relay{TURN: true}},
}

func newBenchCommand() *cobra.Command {
	var flags benchFlags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the service under calls: connect time, CPU and memory per path, added latency",
		Long: `Let simulated phones (60 ms Opus) call the account of an ordinary service, all at once, and an Asterisk answer them in
G.711 at 20 ms; first with direct calls, then with calls over a Telegram reflector. Then a FreeSWITCH answers them, with
direct calls, once for each codec that the service can send there; FreeSWITCH itself makes G.711 of it. The FreeSWITCH is
the one that the environment variable FREESWITCH names, or freeswitch in PATH; without one those rows are left out. The
figures are those of the service process alone, which is started anew for each row; the last column is the PBX's.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runBench(c, flags) },
	}
	c.Flags().IntVar(&flags.calls, "calls", 60, "calls at once")
	c.Flags().DurationVar(&flags.length, "length", 20*time.Second, "how long to measure")
	c.Flags().StringSliceVar(&flags.paths, "paths", []string{"direct", "reflector"}, "ways that calls take, in turn: direct, reflector, turn")
	c.Flags().StringSliceVar(&flags.pbx, "pbx", sideNames(), "what answers the calls, in turn; the first of --paths is that of the calls with FreeSWITCH")
	return c
}

func runBench(c *cobra.Command, flags benchFlags) error {
	if flags.length < time.Second {
		return fmt.Errorf("--length %v: want 1s at least", flags.length)
	}
	paths, err := flags.chosen()
	if err != nil {
		return err
	}
	sides, lack, err := flags.sides()
	if err != nil {
		return err
	}
	if lack != nil {
		fmt.Fprintln(c.ErrOrStderr(), "no rows of FreeSWITCH:", lack)
	}
	var results []benchResult
	for _, side := range sides {
		for i, path := range paths {
			if i > 0 && side.pbx == stage.OnFreeSWITCH {
				break // the path is Telegram's side, and costs the same with every PBX
			}
			path.title, path.side = path.name, side
			if side.title != "" {
				path.title = path.name + ", " + side.title
			}
			result, err := benchOnePath(c, flags, path)
			if err != nil {
				return fmt.Errorf("measure %s calls: %w", path.title, err)
			}
			results = append(results, result)
		}
	}
	return printBench(c.OutOrStdout(), flags, results)
}

// chosen are the paths of the flags.
func (f benchFlags) chosen() ([]benchPath, error) {
	if f.calls < 1 {
		return nil, fmt.Errorf("--calls %d: want 1 at least", f.calls)
	}
	var list []benchPath
names:
	for _, name := range f.paths {
		for _, path := range benchPaths {
			if path.name == name {
				list = append(list, path)
				continue names
			}
		}
		return nil, fmt.Errorf("--paths %s: want direct, reflector or turn", name)
	}
	return list, nil
}

func sideNames() (names []string) {
	for _, side := range benchSides {
		names = append(names, side.name)
	}
	return names
}

// sides are those of the flags, less those that this machine does not have, and why it does not.
func (f benchFlags) sides() (list []benchSide, lack, err error) {
	for _, name := range f.pbx {
		i := slices.IndexFunc(benchSides, func(s benchSide) bool { return s.name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("--pbx %s: want %s", name, strings.Join(sideNames(), ", "))
		}
		if benchSides[i].pbx == stage.OnFreeSWITCH {
			if _, err := lab.FindFreeSWITCH(); err != nil {
				lack = err
				continue
			}
		}
		list = append(list, benchSides[i])
	}
	return list, lack, nil
}

// benchResult is what one path has shown.
type benchResult struct {
	path             benchPath
	connects         []time.Duration // from the acceptance of the Telegram call until ICE and DTLS are up
	setups           []time.Duration // from the acceptance to the first audio on both sides
	idle, begin, end usage
	pbx              [2]usage // of the PBX's process, at begin and end
	latencies        map[string][2]time.Duration
}

// benchOnePath stages everything anew for one path, and measures.
func benchOnePath(c *cobra.Command, flags benchFlags, path benchPath) (r benchResult, err error) {
	ctx, say := c.Context(), func(text string) { fmt.Fprintf(c.ErrOrStderr(), "… %s: %s\n", path.title, text) }
	r.path = path
	dir, cleanup, err := demoDirectory("")
	if err != nil {
		return r, err
	}
	defer cleanup()
	program, err := os.Executable()
	if err != nil {
		return r, err
	}
	callers := benchCallers(flags.calls)
	s, err := stage.Start(ctx, stage.Options{
		Dir: dir, Binary: program, Progress: say, Install: c.ErrOrStderr(), Extras: callers, Relay: path.relay, NoP2P: !path.direct,
		PBX: path.side.pbx, Codec: path.side.codec,
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := r.measure(ctx, s, flags, callers, say); err != nil {
		return r, err
	}
	if err := checkPaths(s.Service.Log(), flags.calls, path.direct); err != nil {
		return r, err
	}
	r.latencies, err = latencies(s.Service.Log())
	return r, err
}

func benchCallers(n int) []cloud.User {
	var callers []cloud.User
	for i := range n {
		callers = append(callers, cloud.User{
			ID: int64(6_000_000 + i), Phone: fmt.Sprintf("+4930200%04d", i), FirstName: fmt.Sprintf("Caller %d", i), Code: "12345",
		})
	}
	return callers
}

// measure places the calls, looks at the service for a while and hangs up.
func (r *benchResult) measure(ctx context.Context, s *stage.Stage, flags benchFlags, callers []cloud.User, say func(string)) (err error) {
	if r.idle, err = usageOf(s.Service.Pid()); err != nil {
		return err
	}
	say(fmt.Sprintf("placing %d calls", flags.calls))
	live, err := r.place(ctx, s, callers)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("measuring for %v", flags.length))
	if r.begin, r.pbx[0], err = usages(s); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(flags.length):
	}
	if r.end, r.pbx[1], err = usages(s); err != nil {
		return err
	}
	for _, call := range live {
		call.Hangup()
	}
	return s.Settled(ctx)
}

// usages are those of the service and of the PBX.
func usages(s *stage.Stage) (service, pbx usage, err error) {
	if service, err = usageOf(s.Service.Pid()); err != nil {
		return service, pbx, err
	}
	pbx, err = usageOf(s.PBX.Pid())
	return service, pbx, err
}

// place lets every caller call the account, one after the other, and notes the connect and set-up times.
func (r *benchResult) place(ctx context.Context, s *stage.Stage, callers []cloud.User) (live []*phone.Call, err error) {
	s.Phones["100"].SetAnswer(lab.AnswerAfter(0))
	for _, user := range callers {
		call, err := s.People[user.FirstName].CallUsername(ctx, stage.Company.Username, phone.Behaviour{Voice: s.Voice, Deaf: true})
		if err != nil {
			return nil, err
		}
		live = append(live, call)
		answered, err := s.Phones["100"].NextCall(ctx)
		if err != nil {
			return nil, fmt.Errorf("call of %s does not reach extension 100: %w", user.FirstName, err)
		}
		first, err := firstAudio(ctx, call, answered)
		if err != nil {
			return nil, fmt.Errorf("call of %s: %w", user.FirstName, err)
		}
		times := call.Times()
		r.connects = append(r.connects, times.Established.Sub(times.Accepted))
		r.setups = append(r.setups, first.Sub(times.Accepted))
	}
	return live, nil
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
