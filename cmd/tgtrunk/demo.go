package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/lab/stage"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

type demoFlags struct {
	json, stay bool
	only, pbx  string
	dir        string
}

func newDemoCommand() *cobra.Command {
	var flags demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Play a script of calls between a real PBX and a simulated Telegram, and judge every one",
		Long: `Install a private Asterisk if there is none, start it, a simulated Telegram and the ordinary service, and play a
script of calls with a tone on each side. Prints a line a call; the exit status is 0 only if all of them are right.

With --pbx freeswitch the same script is played on the FreeSWITCH 1.10 that the environment variable FREESWITCH names, or
freeswitch in PATH; it is not installed, and runs with a configuration and ports of its own.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c, flags) },
	}
	f := c.Flags()
	f.BoolVar(&flags.json, "json", false, "print one JSON object a call and line")
	f.BoolVar(&flags.stay, "stay", false, "leave everything up afterwards and say how to join with a softphone")
	f.StringVar(&flags.only, "only", "", "play only the calls of these letters, such as abi")
	f.StringVar(&flags.pbx, "pbx", string(stage.OnAsterisk), "asterisk or freeswitch")
	f.StringVar(&flags.dir, "dir", "", "keep configuration, logs and records in this directory (default: a temporary one)")
	return c
}

func runDemo(c *cobra.Command, flags demoFlags) (err error) {
	ctx, progress := c.Context(), func(text string) { fmt.Fprintln(c.ErrOrStderr(), "…", text) }
	pbx, err := stage.ParsePBX(flags.pbx)
	if err != nil {
		return fmt.Errorf("--%w", err)
	}
	if pbx == stage.OnFreeSWITCH {
		if _, err := lab.FindFreeSWITCH(); err != nil {
			return fmt.Errorf("--pbx freeswitch: %w", err)
		}
	}
	if err := checkOnly(flags.only); err != nil {
		return err
	}
	dir, cleanup, err := demoDirectory(flags.dir)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil && !flags.stay {
			cleanup()
			return
		}
		fmt.Fprintln(c.ErrOrStderr(), "logs, configuration and records are in", dir)
	}()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := stage.Start(ctx, stage.Options{Dir: dir, Binary: program, PBX: pbx, Progress: progress, Install: c.ErrOrStderr()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()

	report := newReport(c.OutOrStdout(), flags.json)
	report.header()
	wrong := 0
	for _, scene := range scenes {
		if flags.only != "" && !strings.Contains(flags.only, scene.letter) {
			continue
		}
		for _, result := range play(ctx, s, scene) {
			report.line(result)
			if !result.OK {
				wrong++
			}
		}
	}
	if err := s.Settled(ctx); err != nil {
		return err
	}
	if flags.stay {
		return stay(ctx, c.OutOrStdout(), s)
	}
	if wrong > 0 {
		return fmt.Errorf("%d calls are not right", wrong)
	}
	return nil
}

// checkOnly refuses letters of no scene: a script of nothing would be right.
func checkOnly(letters string) error {
	var known strings.Builder
	for _, scene := range scenes {
		known.WriteString(scene.letter)
	}
	for _, letter := range letters {
		if !strings.ContainsRune(known.String(), letter) {
			return fmt.Errorf("--only %s: there is no call %q, only %s", letters, letter, known.String())
		}
	}
	return nil
}

// play runs one scene within its time.
func play(ctx context.Context, s *stage.Stage, scene scene) []result {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	results := scene.play(ctx, s)
	for i := range results {
		results[i].Call = scene.letter
		results[i].what = scene.what
		if len(results) > 1 {
			results[i].Call = fmt.Sprintf("%s%d", scene.letter, i+1)
		}
	}
	return results
}

// demoDirectory returns where the demo writes, and what removes it again.
func demoDirectory(dir string) (string, func(), error) {
	if dir != "" {
		absolute, err := filepath.Abs(dir)
		return absolute, func() {}, errors.Join(err, os.MkdirAll(dir, 0o755))
	}
	dir, err := os.MkdirTemp("", "tgtrunk-demo-")
	if err != nil {
		return "", nil, err
	}
	// Asterisk runs as nobody and must be able to reach its part.
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// stay says how to join and waits for the end of ctx.
func stay(ctx context.Context, w io.Writer, s *stage.Stage) error {
	for _, name := range []string{"alice", "bob", "carol"} {
		s.People[name].Behave(phone.Behaviour{After: time.Second, Voice: s.Voice})
	}
	var pbx string
	if s.Asterisk != nil {
		pbx = fmt.Sprintf("Asterisk   SIP %s over UDP, ARI %s", s.PBX.SIPAddr(), s.Asterisk.ARIURL())
	} else {
		pbx = fmt.Sprintf("FreeSWITCH SIP %s over UDP, event socket %s, its password in %s", s.PBX.SIPAddr(), s.FreeSWITCH.ESLAddr(),
			filepath.Join(s.Dir, "esl.password"))
	}
	fmt.Fprintf(w, `
Everything stays up until you press Ctrl-C.

  %s
  softphone  register as 300, password tgtrunk, at %s; then dial
             *%d (alice), bob_lab or %s (carol): they answer with a tone
  Telegram   %s, public key %s, DC %d; log in as %s with code %s
  service    log %s, records %s
`, pbx, s.PBX.SIPAddr(), stage.People["alice"].ID, stage.People["carol"].Phone,
		s.Cloud.Addr(), filepath.Join(s.Dir, "cloud.pem.pub"), s.Cloud.DC(), stage.People["egon"].Phone, stage.People["egon"].Code,
		s.Service.Log(), s.Records())
	select {
	case <-ctx.Done():
		return nil
	case <-s.Service.Done():
		return fmt.Errorf("the service ended by itself; its log is %s", s.Service.Log())
	}
}

// result is one call of the demo; its JSON is what `tgtrunk demo --json` prints.
type result struct {
	Call           string  `json:"call"`
	Direction      string  `json:"direction"` // "telegram → pbx" or "pbx → telegram"
	Dialled        string  `json:"dialled"`
	SetupMS        int64   `json:"setup_ms"`         // from the answer to the first audio on both sides; 0 for calls without
	ToneToTelegram float64 `json:"tone_to_telegram"` // share of the energy that is the tone, 0..1
	ToneToPBX      float64 `json:"tone_to_pbx"`
	Loss           float64 `json:"loss"` // share of the packets either side missed
	CauseTelegram  string  `json:"cause_telegram"`
	CausePBX       string  `json:"cause_pbx"`
	OK             bool    `json:"ok"`
	Problem        string  `json:"problem,omitempty"`

	what string
}

// report prints results as a table or as JSON lines.
type report struct {
	w    io.Writer
	json bool
}

func newReport(w io.Writer, asJSON bool) *report { return &report{w: w, json: asJSON} }

const reportRow = "%-4s %-14s %-14s %9s %9s %9s %6s  %-12s %-18s %s\n"

func (r *report) header() {
	if !r.json {
		fmt.Fprintf(r.w, reportRow, "call", "direction", "dialled", "set-up ms", "tone→tg", "tone→pbx", "loss", "telegram", "pbx", "verdict")
	}
}

func (r *report) line(result result) {
	if r.json {
		line, err := json.Marshal(result)
		if err == nil {
			fmt.Fprintf(r.w, "%s\n", line)
		}
		return
	}
	tone := func(purity float64) string {
		if result.SetupMS == 0 {
			return "-"
		}
		return fmt.Sprintf("%.3f", purity)
	}
	setup, loss := "-", "-"
	if result.SetupMS > 0 {
		setup, loss = fmt.Sprint(result.SetupMS), fmt.Sprintf("%.1f%%", 100*result.Loss)
	}
	verdict := "right: " + result.what
	if !result.OK {
		verdict = "WRONG: " + result.what + ": " + result.Problem
	}
	fmt.Fprintf(r.w, reportRow, result.Call, result.Direction, result.Dialled, setup, tone(result.ToneToTelegram),
		tone(result.ToneToPBX), loss, result.CauseTelegram, result.CausePBX, verdict)
}
