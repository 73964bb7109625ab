package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/records"
)

func newUsageCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "usage",
		Short: "Sum the calls up: how many, answered, and how long, per account and direction",
		Long: `Sum the calls up: how many, answered, and how long, per account and direction, from the file of records and what it was rotated to.

A call counts for the account that carried it, or was tried last, and for the day or month in which it came, by this machine's clock.`,
		Args: cobra.NoArgs,
	}
	var l callList
	complete := l.filters(c)
	by := c.Flags().String("by", "month", "day, month or all")
	asCSV := c.Flags().Bool("csv", false, "print comma-separated values")
	c.RunE = func(c *cobra.Command, _ []string) error {
		layout, ok := map[string]string{"day": time.DateOnly, "month": "2006-01", "all": ""}[*by]
		if !ok {
			return fmt.Errorf("--by %q: use day, month or all", *by)
		}
		if err := complete(); err != nil {
			return err
		}
		sums, err := l.sumUp(c.Context(), layout, c.ErrOrStderr())
		if err != nil {
			return err
		}
		return printUsage(c.OutOrStdout(), sums, *asCSV)
	}
	return c
}

// use is what calls are summed up by.
type use struct{ period, account, direction string }

// sum is what they come to.
type sum struct {
	calls, answered int
	talk            time.Duration
	minutes         int // every begun one of every call
}

// sumUp adds up the wanted records; layout shapes the period, "" is one for all.
func (l *callList) sumUp(ctx context.Context, layout string, problems io.Writer) (map[use]sum, error) {
	sums := map[use]sum{}
	err := l.read(ctx, problems, func(r records.Line) {
		u := use{r.Times.Offered.Local().Format(layout), cmp.Or(r.Account, "-"), "to-telegram"}
		if r.Offering.Kind == bridge.Telegram {
			u.direction = "from-telegram"
		}
		s := sums[u]
		s.calls++
		if !r.Times.Connected.IsZero() {
			talk := time.Duration(r.Times.TalkMS) * time.Millisecond
			s.answered++
			s.talk += talk
			s.minutes += int((talk + time.Minute - 1) / time.Minute)
		}
		sums[u] = s
	})
	return sums, err
}

func printUsage(out io.Writer, sums map[use]sum, asCSV bool) error {
	rows := [][]string{{"period", "account", "direction", "calls", "answered", "talk_s", "minutes"}}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b use) int {
		return cmp.Or(cmp.Compare(a.period, b.period), cmp.Compare(a.account, b.account), cmp.Compare(a.direction, b.direction))
	})
	for _, u := range keys {
		s := sums[u]
		rows = append(rows, []string{
			cmp.Or(u.period, "all"), u.account, u.direction, strconv.Itoa(s.calls), strconv.Itoa(s.answered),
			strconv.Itoa(int(s.talk.Round(time.Second) / time.Second)), strconv.Itoa(s.minutes),
		})
	}
	if asCSV {
		return csv.NewWriter(out).WriteAll(rows)
	}
	for i, name := range rows[0] {
		rows[0][i] = strings.ToUpper(name)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}
