package voip

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

var update = flag.Bool("update", false, "write docs/telegram-compatibility.md with the figures of this run")

const (
	compatFile = "../../docs/telegram-compatibility.md"

	// compatAtOnce is how many calls run at a time: they wait more than they work. Figures for the file are taken with
	// fewer.
	compatAtOnce  = 12
	compatFigures = 2
)

// compatNumbers are the set-up time and the purity of a row, which are not the same twice.
var compatNumbers = regexp.MustCompile(`\| \d+ \| [01]\.\d\d \|`)

// TestCompatibility runs every call of the matrix and compares docs/telegram-compatibility.md with what they show; with
// -update it writes it.
func TestCompatibility(t *testing.T) {
	if !media.HaveOpus {
		t.Skip("this build has no Opus")
	}
	servers, matrix := startCompatServers(t), compatMatrix()
	rows := make([][2]string, len(matrix))
	atOnce := compatAtOnce
	if *update {
		atOnce = compatFigures
	}
	t.Run("calls", func(t *testing.T) {
		var running sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for i, c := range matrix {
			failed := compatCells{mute: compatNo, restart: compatNo}
			if c.never {
				failed.mute, failed.restart = compatSkip, compatSkip
			}
			rows[i] = [2]string{c.row(signaling.Caller, failed), c.row(signaling.Callee, failed)}
			if c.never {
				continue
			}
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				t.Run(c.String(), func(t *testing.T) {
					for j, cells := range c.run(t, servers, uint64(i)) {
						role := signaling.Caller + Role(j)
						rows[i][j] = c.row(role, cells)
						t.Logf("%v: set-up %v, purity %.3f", role, cells.setup.Round(1e6), cells.purity)
						if cells.purity < c.least() {
							t.Errorf("%v: purity %.3f, want %.2f at least", role, cells.purity, c.least())
						}
					}
				})
			})
		}
		running.Wait()
	})
	text := compatText(t, rows)
	if *update {
		if t.Failed() {
			t.Fatalf("not written, as not every call worked:\n%s", text)
		}
		if err := os.WriteFile(compatFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	file, err := os.ReadFile(compatFile)
	if err != nil {
		t.Fatal(err)
	}
	got, want := compatNumbers.ReplaceAllString(text, "|"), compatNumbers.ReplaceAllString(string(file), "|")
	if got == want {
		return
	}
	t.Errorf("%s is not what the matrix gives: run this test with -update", compatFile)
	for line := range strings.Lines(got) {
		if !strings.Contains(want, line) {
			t.Errorf("not in the file: %s", line)
		}
	}
}

func compatText(t *testing.T, rows [][2]string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `# Telegram library versions

Written by `+"`go test ./telegram/voip -run Compatibility -update`"+`; do not edit. Every row is a call between two engines of this project on
one machine, seen from the end with that role, and every test run makes all of these calls again. Each end is a PBX that
says a tone in G.711, which crosses the call as Opus; the purity is the share of the energy heard there that is the other
end's tone, by FFT: the least of one second at the start (two under loss of media) and half a second after each restart. It
must be %.2f, or %.2f under loss of media. Set-up is the time from the start of the engine until ICE and DTLS are up, in ms.
The peer is told of a mute, and an ICE restart that this end begins leaves the tones flowing; a dash is what is not checked.
Media is lost on the road between direct peers and inside the servers of relayed ones, and in the set-up, too.

| Version | Role | Path | Loss | Set-up ms | Tone purity | Mute told | ICE restart |
|---|---|---|---|---|---|---|---|
`, pureAlways, pureLossy)
	for _, pair := range rows {
		fmt.Fprintf(&b, "%s\n%s\n", pair[0], pair[1])
	}
	fmt.Fprintf(&b, "\n%s are the reference engines: they are offered, and taken, where an account has `reference_engines: true`.\n", strings.Join(signaling.ReferenceVersions(), " and "))
	b.WriteString("\nOther library versions are neither offered to Telegram nor taken:")
	for i, v := range []string{"2.4.4", "2.7.7", "5.0.0", "14.0.0", "18.0.0", "19.0.0"} {
		_, err := New(Config{Role: signaling.Caller, Key: &Key{}, Version: v, Send: func([]byte) error { return nil }})
		if !errors.Is(err, signaling.ErrVersion) {
			t.Errorf("%s: %v", v, err)
		}
		b.WriteString(map[bool]string{true: " ", false: ", "}[i == 0] + v)
	}
	b.WriteString(".\n\n7.0.0 repeats no signalling, whoever speaks it: a lost packet may end the set-up, so there is nothing to expect of those rows.\n")
	b.WriteString(`
## Recorded calls of the official engines

The signalling of these calls, recorded between official engines, is replayed to an engine of this project, each side in
turn (package signaling, testdata). ` + "`weba` and `webk`" + ` are Telegram Web A and Web K, the others the native engine.

`)
	names, err := filepath.Glob("signaling/testdata/captures/*.json.gz")
	if err != nil || len(names) == 0 {
		t.Fatal("no captures")
	}
	for _, n := range names {
		fmt.Fprintf(&b, "- %s\n", strings.TrimSuffix(filepath.Base(n), ".json.gz"))
	}
	b.WriteString("- 13.0.0-mtproto: the media packets, too\n")
	return b.String()
}
