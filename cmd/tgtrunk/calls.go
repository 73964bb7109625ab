package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/records"
)

// followEvery is how often `tgtrunk calls -f` looks for new records.
const followEvery = 250 * time.Millisecond

func newCallsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "calls",
		Short: "List the calls that there were, newest last",
		Long: `List the calls that there were, newest last, from the file of records and what it was rotated to.

--since and --until take a time (2026-11-22, "2026-11-22 15:04", RFC 3339) or how long ago (90m, 24h, 7d).`,
		Args: cobra.NoArgs,
	}
	var l callList
	complete := l.filters(c)
	f := c.Flags()
	f.IntVarP(&l.limit, "limit", "n", 50, "the newest so many; 0: all")
	f.BoolVar(&l.json, "json", false, "print the records themselves, a line each")
	f.BoolVarP(&l.follow, "follow", "f", false, "go on with the calls that end from now on")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := complete(); err != nil {
			return err
		}
		return l.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
	}
	c.AddCommand(newUsageCommand())
	return c
}

// filters gives a command the flags that say which calls are meant; what it returns reads them.
func (l *callList) filters(c *cobra.Command) (complete func() error) {
	path := configFlag(c)
	f := c.Flags()
	f.StringVar(&l.file, "file", "", "the file of records; default records.file of the configuration")
	since := f.String("since", "", "only calls that came since then")
	until := f.String("until", "", "only calls that came before then")
	f.StringVar(&l.account, "account", "", "only calls of this Telegram account, or PBX link")
	f.StringVar(&l.person, "person", "", "only calls with this user-id, @username, number or part of a name")
	f.StringVar(&l.reason, "reason", "", "only calls that ended so, as BUSY")
	return func() (err error) {
		now := time.Now()
		if l.since, err = parseMoment(*since, now); err != nil {
			return fmt.Errorf("--since: %w", err)
		}
		if l.until, err = parseMoment(*until, now); err != nil {
			return fmt.Errorf("--until: %w", err)
		}
		if l.file != "" {
			return nil
		}
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		if l.file = cfg.Records.File; l.file == "" {
			return errors.New("no records are kept: the configuration has no records.file")
		}
		return nil
	}
}

// parseMoment reads a time, or how long ago one was; the zero time for "".
func parseMoment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, form := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-11-22, \"2026-11-22 15:04\", 90m, 24h or 7d", text)
}

// callList is what is to be listed, and how.
type callList struct {
	file         string
	since, until time.Time // zero: any
	account      string
	person       string
	reason       string
	limit        int
	json, follow bool
}

func (l *callList) run(ctx context.Context, out, problems io.Writer) error {
	if l.limit < 0 {
		return fmt.Errorf("--limit %d: use 0 or more", l.limit)
	}
	p := &callPrinter{callList: l, out: out, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	if !l.follow {
		err := l.read(ctx, problems, func(r records.Line) { _ = p.keep(r) })
		if err != nil {
			return err
		}
		return p.showNewest()
	}
	each := p.keep
	return records.Follow(ctx, l.file, followEvery, func(r records.Line) error {
		if !l.wants(r.Record) {
			return nil
		}
		return each(r)
	}, func(bad records.Bad) error {
		complain(problems, bad)
		each = func(r records.Line) error { return errors.Join(p.show(r), p.table.Flush()) }
		return p.showNewest()
	})
}

// callPrinter prints the wanted records.
type callPrinter struct {
	*callList
	out    io.Writer
	table  *tabwriter.Writer
	newest []records.Line
}

// keep notes a record that is shown unless there are enough newer ones.
func (p *callPrinter) keep(r records.Line) error {
	r.Text = append([]byte(nil), r.Text...)
	if p.newest = append(p.newest, r); p.limit > 0 && len(p.newest) > p.limit {
		p.newest = p.newest[1:]
	}
	return nil
}

func (p *callPrinter) showNewest() error {
	if !p.json {
		fmt.Fprintln(p.table, "TIME\tFROM\tCALLER\tTO\tCALLED\tTALK\tREASON\tCALL")
	}
	for _, r := range p.newest {
		if err := p.show(r); err != nil {
			return err
		}
	}
	p.newest = nil
	return p.table.Flush()
}

func (p *callPrinter) show(r records.Line) error {
	if p.json {
		_, err := fmt.Fprintf(p.out, "%s\n", r.Text)
		return err
	}
	_, err := fmt.Fprintln(p.table, strings.Join(columns(r.Record), "\t"))
	return err
}

// read hands over the wanted records, oldest first. Text of a line is valid until the next.
func (l *callList) read(ctx context.Context, problems io.Writer, each func(records.Line)) error {
	bad, err := records.Read(ctx, l.file, func(r records.Line) error {
		if l.wants(r.Record) {
			each(r)
		}
		return nil
	})
	complain(problems, bad)
	return err
}

// complain says what could not be read.
func complain(problems io.Writer, bad records.Bad) {
	if bad.Lines > 0 {
		fmt.Fprintf(problems, "%d lines are no records\n", bad.Lines)
	}
	for _, err := range bad.Files {
		fmt.Fprintf(problems, "%v: what comes after that place is missing\n", err)
	}
}

func (l *callList) wants(r bridge.Record) bool {
	at := r.Times.Offered
	switch {
	case !l.since.IsZero() && at.Before(l.since), !l.until.IsZero() && !at.Before(l.until):
		return false
	case l.reason != "" && !strings.EqualFold(l.reason, string(r.Reason)):
		return false
	}
	trunk, person := l.account == "", l.person == ""
	for _, leg := range append([]bridge.LegRecord{r.Offering}, r.Attempts...) {
		trunk = trunk || leg.Trunk == l.account
		person = person || isPerson(leg.Party, l.person)
	}
	return trunk && person
}

// isPerson says whether a text names somebody.
func isPerson(p bridge.Party, text string) bool {
	bare := strings.TrimPrefix(strings.TrimPrefix(text, "@"), "+")
	switch {
	case bare == "":
		return false
	case strconv.FormatInt(p.UserID, 10) == bare, strings.EqualFold(p.Username, bare):
		return true
	case strings.TrimPrefix(p.Phone, "+") == bare, strings.TrimPrefix(p.Number, "+") == bare:
		return true
	}
	return strings.Contains(strings.ToLower(p.Name), strings.ToLower(text))
}

// columns is a call as the table shows it.
func columns(r bridge.Record) []string {
	called := bridge.LegRecord{}
	if n := len(r.Attempts); n > 0 {
		called = r.Attempts[n-1]
	}
	talk := "-"
	if !r.Times.Connected.IsZero() {
		talk = (time.Duration(r.Times.TalkMS) * time.Millisecond).Round(time.Second).String()
	}
	return []string{
		r.Times.Offered.Local().Format(time.DateTime), r.Offering.Trunk, who(r.Offering.Party, ""), cmp.Or(called.Trunk, "-"),
		who(called.Party, r.Dialled), talk, string(r.Reason), r.Call,
	}
}

// who names a party in a column: what it is called by, and its name.
func who(p bridge.Party, otherwise string) string {
	text := p.Number
	switch {
	case p.Username != "":
		text = "@" + p.Username
	case p.Phone != "":
		text = p.Phone
	case p.UserID != 0:
		text = "id " + strconv.FormatInt(p.UserID, 10)
	}
	text = cmp.Or(text, otherwise, "-")
	if p.Name != "" {
		text += " (" + p.Name + ")"
	}
	return text
}
