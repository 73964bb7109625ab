package voip

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

var update = flag.Bool("update", false, "run all calls of docs/telegram-compatibility.md and write it")

const compatFile = "../../docs/telegram-compatibility.md"

// compatCall is one call of the matrix; it fills a row for either role.
type compatCall struct {
	version, path string
	options       pairOptions // without version
	media, signal float64     // shares that are lost
	fast          bool        // is run without -update, too
}

// compatCells is what a row says.
type compatCells struct{ audio, mute, restart string }

const (
	compatYes  = "yes"
	compatNo   = "NO"
	compatSkip = "–"
)

func compatMatrix(turn Server) []compatCall {
	custom := func(text string) pairOptions { return pairOptions{customCaller: text, customCallee: text} }
	relay := pairOptions{relayOnly: true, servers: []Server{turn}}
	var all []compatCall
	for _, v := range signaling.Versions() {
		newest, acked := v == "13.0.0", v == "8.0.0" || v == "9.0.0"
		all = append(all,
			compatCall{version: v, path: "direct", fast: true},
			compatCall{version: v, path: "TURN relay", options: relay, fast: newest},
		)
		if v != "7.0.0" {
			all = append(all, compatCall{version: v, path: "direct", media: 0.1, signal: 0.2})
		} else { // repeats no signalling
			all = append(all, compatCall{version: v, path: "direct", media: 0.1})
		}
		all = append(all, compatCall{version: v, path: "direct, `network_use_mtproto`", options: custom(useMTProto), fast: newest})
		switch {
		case acked || v == "7.0.0":
			all = append(all, compatCall{version: v, path: "direct, `network_kcp_experiment`", options: custom(`{"network_kcp_experiment":true}`), fast: v == "9.0.0"})
		default:
			all = append(all, compatCall{version: v, path: "direct, `network_signaling_nosctp`", options: custom(`{"network_signaling_nosctp":true}`), fast: newest})
		}
		if newest {
			mtproto := relay
			mtproto.customCaller, mtproto.customCallee = useMTProto, useMTProto
			all = append(all,
				compatCall{version: v, path: "TURN relay, `network_use_mtproto`", options: mtproto},
				compatCall{version: v, path: "direct, `network_use_mtproto`", options: custom(useMTProto), media: 0.1, signal: 0.2},
			)
		}
	}
	return all
}

// run carries the call and returns the cells of the caller and the callee.
func (c compatCall) run(t *testing.T, seed uint64) (cells [2]compatCells) {
	c.options.version = c.version
	if c.media > 0 {
		up, down := lossyCall(t, c.options, c.media, c.signal, seed)
		cell := compatCells{compatNo, compatSkip, compatSkip}
		if min(up, down) >= 1-c.media-0.15 {
			cell.audio = compatYes
		}
		return [2]compatCells{cell, cell}
	}
	p := newPair(t, c.options)
	p.establish(t)
	p.exchange(t, "first") // both ways, or it fails
	for i, s := range []*side{p.caller, p.callee} {
		peer := []*side{p.callee, p.caller}[i]
		s.SetMuted(true)
		await(t, peer.Engine, 5*time.Second, func(m PeerMediaState) bool { return m.Muted })
		s.RestartICE()
		for _, e := range []*Engine{s.Engine, peer.Engine} {
			awaitState(t, e, 5*time.Second, Reconnecting)
			awaitState(t, e, 5*time.Second, Established)
		}
		p.exchange(t, "after the restart")
		cells[i] = compatCells{compatYes, compatYes, compatYes}
	}
	return cells
}

// row prints a line of the table.
func (c compatCall) row(role Role, cells compatCells) string {
	loss := "none"
	switch {
	case c.signal > 0:
		loss = fmt.Sprintf("%.0f %% of media, %.0f %% of signalling", c.media*100, c.signal*100)
	case c.media > 0:
		loss = fmt.Sprintf("%.0f %% of media", c.media*100)
	}
	return fmt.Sprintf("| %s | %v | %s | %s | %s | %s | %s |", c.version, role, c.path, loss, cells.audio, cells.mute, cells.restart)
}

// TestCompatibility compares docs/telegram-compatibility.md with what calls show; with -update it writes it.
func TestCompatibility(t *testing.T) {
	matrix := compatMatrix(startTURN(t))
	file, err := os.ReadFile(compatFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	old := strings.Split(string(file), "\n")
	rows := make([][2]string, len(matrix))
	t.Run("calls", func(t *testing.T) {
		for i, c := range matrix {
			if !c.fast && !*update {
				continue
			}
			t.Run(fmt.Sprintf("%s %s %v", c.version, c.path, c.media), func(t *testing.T) {
				failed := compatCells{compatNo, compatNo, compatNo}
				rows[i] = [2]string{c.row(signaling.Caller, failed), c.row(signaling.Callee, failed)}
				for j, cells := range c.run(t, uint64(i)) {
					rows[i][j] = c.row(signaling.Caller+Role(j), cells)
				}
			})
		}
	})
	if *update {
		text := compatText(t, rows)
		if t.Failed() || strings.Contains(text, compatNo+" |") {
			t.Fatalf("not written, as not every call worked:\n%s", text)
		}
		if err := os.WriteFile(compatFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, pair := range rows {
		for _, row := range pair {
			if row != "" && !slices.Contains(old, row) {
				t.Errorf("not in the file: %s", row)
			}
		}
	}
	// What was not run now must be there with some result, and nothing else.
	for i, c := range matrix {
		for j := range rows[i] {
			start := strings.TrimSuffix(c.row(signaling.Caller+Role(j), compatCells{}), "  |  |  |")
			at := slices.IndexFunc(old, func(line string) bool { return strings.HasPrefix(line, start) })
			if at < 0 {
				t.Errorf("no row that begins %s", start)
				continue
			}
			rows[i][j] = old[at]
			if strings.Contains(old[at], "| "+compatNo+" |") {
				t.Errorf("a call that does not work: %s", old[at])
			}
		}
	}
	if compatText(t, rows) != string(file) {
		t.Errorf("%s is not what the matrix gives: run this test with -update", compatFile)
	}
}

func compatText(t *testing.T, rows [][2]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`# Telegram library versions

Written by ` + "`go test ./telegram/voip -run Compatibility -update`" + `; do not edit. Every row is a call between two engines of this project on
one machine, seen from the end with that role: audio flows both ways; the peer is told of a mute; and an ICE restart that
this end begins leaves the audio flowing. A dash is what is not checked under loss. The tests run a part of these calls
every time and compare.

| Version | Role | Path | Loss | Audio both ways | Mute told | ICE restart |
|---|---|---|---|---|---|---|
`)
	for _, pair := range rows {
		fmt.Fprintf(&b, "%s\n%s\n", pair[0], pair[1])
	}
	b.WriteString("\nOther library versions are neither offered to Telegram nor taken:")
	for i, v := range []string{"2.4.4", "2.7.7", "5.0.0", "14.0.0", "18.0.0", "19.0.0"} {
		_, err := New(Config{Role: signaling.Caller, Key: &Key{}, Version: v, Send: func([]byte) error { return nil }})
		if !errors.Is(err, signaling.ErrVersion) {
			t.Errorf("%s: %v", v, err)
		}
		b.WriteString(map[bool]string{true: " ", false: ", "}[i == 0] + v)
	}
	b.WriteString(".\n\n7.0.0 repeats no signalling, whoever speaks it: a lost packet may end the set-up, so no such row is there.\n")
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
