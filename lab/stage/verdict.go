package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// Verdict is what a dialplan knows of a call behind Stasis(), as Telling writes it down.
type Verdict struct {
	Call        string // SIP Call-ID of the caller
	Leg         string // TGTRUNK_LEG, as in the record's offering leg
	Status      string
	Reason      string
	Cause       string
	RetryAfter  string
	BudgetLeft  string
	Presence    string
	PresenceAge string
	Session     string // the account that has called
	Peer        string // user-id of whom
}

const verdictMark = "tgtrunk-verdict|"

// Telling is a subroutine that writes a Verdict of its channel into Asterisk's log: Gosub(telling,s,1).
const Telling = `
[telling]
exten => s,1,Log(NOTICE,` + verdictMark + `${CHANNEL(pjsip,call-id)}|${TGTRUNK_LEG}|${TGTRUNK_STATUS}|${TGTRUNK_REASON}|` +
	`${TGTRUNK_CAUSE}|${TGTRUNK_RETRY_AFTER}|${TGTRUNK_BUDGET_LEFT}|${TGTRUNK_PRESENCE}|${TGTRUNK_PRESENCE_AGE}|${TGTRUNK_SESSION}|${TGTRUNK_PEER}|)
 same => n,Return()
`

// Verdicts are all that the dialplan has written down, in their order.
func (s *Stage) Verdicts() ([]Verdict, error) {
	var all []Verdict
	err := eachLine(s.Asterisk.LogFile(), func(line []byte) error {
		_, told, found := strings.Cut(string(line), verdictMark)
		if !found {
			return nil
		}
		f := strings.Split(told, "|")
		if len(f) != 12 {
			return fmt.Errorf("read the verdict %q: %d fields", told, len(f))
		}
		all = append(all, Verdict{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10]})
		return nil
	})
	return all, err
}

// Verdict waits for what the dialplan says of the call with that SIP Call-ID; Asterisk writes its log when it has time.
func (s *Stage) Verdict(ctx context.Context, call string) (Verdict, error) {
	return await(ctx, "the dialplan's verdict on call "+call, s.Verdicts, func(v Verdict) bool { return v.Call == call })
}

// Records reads the call records in a file; one that is not there has none.
func Records(path string) ([]bridge.Record, error) {
	var all []bridge.Record
	err := eachLine(path, func(line []byte) error {
		var r bridge.Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("read the record %q: %w", line, err)
		}
		all = append(all, r)
		return nil
	})
	return all, err
}

// Record waits for the record that fits in the file.
func Record(ctx context.Context, path, what string, fits func(bridge.Record) bool) (bridge.Record, error) {
	return await(ctx, "the record of "+what, func() ([]bridge.Record, error) { return Records(path) }, fits)
}

// await looks again and again until there is one that fits.
func await[T any](ctx context.Context, what string, look func() ([]T, error), fits func(T) bool) (T, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		all, err := look()
		for _, one := range all {
			if fits(one) {
				return one, nil
			}
		}
		select {
		case <-ctx.Done():
			var none T
			return none, fmt.Errorf("wait for %s: %w, %w", what, ctx.Err(), err)
		case <-again.C:
		}
	}
}

// eachLine gives every whole line of a file that may be growing.
func eachLine(path string, each func([]byte) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	if end := bytes.LastIndexByte(text, '\n'); end >= 0 {
		text = text[:end]
	} else {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}
