package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/routing/memory"
)

func newRouteCommand() *cobra.Command {
	parent := newGroup(&cobra.Command{Use: "route", Short: "Work with the routes"})
	parent.AddCommand(newRouteTestCommand())
	return parent
}

type routeFlags struct {
	config, from, caller string
	variables            map[string]string
	json                 bool
}

func newRouteTestCommand() *cobra.Command {
	var flags routeFlags
	c := &cobra.Command{
		Use:   "test [DIALLED]",
		Short: "Show where a call would go, and how what was dialled is read; no call is made",
		Long: `Show the route that takes a call, how what was dialled is read, and the targets in order. No call is made, and Telegram
is not asked whether such a user exists. The exit status is 0 only if the call would go somewhere.

What the PBX was shown before (the number memory) counts. Nothing is changed: the service may run.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runRouteTest(c, flags, strings.Join(args, "")) },
	}
	configVar(c, &flags.config)
	f := c.Flags()
	f.StringVar(&flags.from, "from", "", "the trunk that the call comes from (default: the only PBX)")
	f.StringVar(&flags.caller, "caller", "", "who calls: the extension, or for a call from Telegram @USERNAME, +PHONE or USER-ID")
	f.StringToStringVar(&flags.variables, "variable", nil, "channel variables of the call, NAME=VALUE, repeatable")
	f.BoolVar(&flags.json, "json", false, "print one JSON object")
	return c
}

func runRouteTest(c *cobra.Command, flags routeFlags, dialled string) error {
	cfg, err := config.Load(flags.config)
	if err != nil {
		return err
	}
	q, err := flags.request(cfg.Table, dialled)
	if err != nil {
		return err
	}
	if q.Dialled != "" {
		if q.Remembered, err = recalled(c.Context(), cfg, q.Trunk, cfg.Table.Reads(q)); err != nil {
			fmt.Fprintln(c.ErrOrStderr(), "number memory is left out:", err)
		}
	}
	plan, err := cfg.Table.Route(q)
	if err != nil {
		return err
	}
	if flags.json {
		return json.NewEncoder(c.OutOrStdout()).Encode(planJSON(plan))
	}
	return printPlan(c.OutOrStdout(), cfg.Table, plan)
}

func (f routeFlags) request(table *routing.Table, dialled string) (routing.Request, error) {
	accounts, links := table.Trunks(routing.Account), table.Trunks(routing.PBX)
	switch {
	case f.from == "" && len(links) == 1:
		f.from = links[0]
	case f.from == "":
		return routing.Request{}, fmt.Errorf("say with --from where the call comes from: %s", strings.Join(append(links, accounts...), ", "))
	case !slices.Contains(append(links, accounts...), f.from):
		return routing.Request{}, fmt.Errorf("there is no trunk %q; --from is one of %s", f.from, strings.Join(append(links, accounts...), ", "))
	}
	q := routing.Request{Trunk: f.from, Dialled: dialled, Variables: f.variables, Caller: routing.Party{Number: f.caller}}
	if !slices.Contains(accounts, f.from) {
		if dialled == "" {
			return routing.Request{}, errors.New("say what was dialled")
		}
		return q, nil
	}
	if dialled != "" {
		return routing.Request{}, fmt.Errorf("calls from the account %q carry no dialled number", f.from)
	}
	if f.caller == "" {
		return q, nil
	}
	n, err := whoIs(f.caller)
	if err != nil {
		return routing.Request{}, fmt.Errorf("--caller: %w", err)
	}
	q.Caller = routing.Party{UserID: n.UserID, Username: n.Username, Phone: n.Phone}
	return q, nil
}

// recalled returns what the number memory says of what was dialled; nothing where there is no store yet.
func recalled(ctx context.Context, cfg *config.Config, trunk, text string) ([]routing.Presented, error) {
	keep, err := openStoreToRead(ctx, cfg)
	if errors.Is(err, errNoStore) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = keep.Close() }() // nothing was written
	return memory.New(memory.Options{Store: keep}).Recall(ctx, trunk, text), nil
}

func printPlan(w io.Writer, table *routing.Table, plan routing.Plan) error {
	fmt.Fprintf(w, "route   %s (line %d)\n", plan.Rule, plan.Line)
	if plan.How != "" {
		fmt.Fprintf(w, "read    %s   by %s\n", numberText(plan.Targets), plan.How)
	}
	accounts := table.Trunks(routing.Account)
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for i, t := range plan.Targets {
		kind := routing.PBX
		if slices.Contains(accounts, t.Trunk) {
			kind = routing.Account
		}
		limit := ""
		if t.Timeout > 0 {
			limit = "\trings for " + t.Timeout.String()
		}
		fmt.Fprintf(tab, "target  %d\t%s %s\t%s%s\n", i+1, kind, t.Trunk, place(t), limit)
	}
	for _, d := range plan.Denied {
		fmt.Fprintf(tab, "denied\t%v %s\t%s\n", routing.Account, d.Trunk, d.Why)
	}
	return tab.Flush()
}

// numberText is what the dialled text was read as: the number of the first target that has one.
func numberText(targets []routing.Target) string {
	for _, t := range targets {
		if t.Number.Kind != 0 {
			return place(routing.Target{Number: t.Number})
		}
	}
	return ""
}

// place is where a target goes, for people.
func place(t routing.Target) string {
	switch n := t.Number; {
	case t.Endpoint != "":
		return t.Endpoint
	case t.Context != "":
		return t.Extension + "@" + t.Context
	case n.Kind == routing.UserID:
		text := "user-id " + strconv.FormatInt(n.UserID, 10)
		for _, other := range t.Others {
			text += ", else " + place(routing.Target{Number: other})
		}
		return text
	case n.Kind == routing.Phone:
		return "phone number " + n.Phone
	}
	return "username @" + t.Number.Username
}

type numberJSON struct {
	UserID   int64  `json:"user_id,omitempty"`
	Username string `json:"username,omitempty"`
	Phone    string `json:"phone,omitempty"`
}

type targetJSON struct {
	Trunk     string            `json:"trunk"`
	Number    *numberJSON       `json:"number,omitempty"` // of a Telegram account
	Others    []numberJSON      `json:"others,omitempty"` // tried where the account does not know number
	Context   string            `json:"context,omitempty"`
	Extension string            `json:"extension,omitempty"`
	Endpoint  string            `json:"endpoint,omitempty"`
	TimeoutS  float64           `json:"timeout_s,omitempty"`
	Offline   routing.Offline   `json:"offline,omitempty"`
	ShownAs   string            `json:"shown_as,omitempty"`
	ShownName string            `json:"shown_name,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
}

type deniedJSON struct {
	Trunk string `json:"trunk"`
	Why   string `json:"why"`
}

type routeJSON struct {
	Route   string          `json:"route"`
	Line    int             `json:"line"`
	Matched routing.Matched `json:"matched,omitempty"`
	How     string          `json:"how,omitempty"`
	Targets []targetJSON    `json:"targets"`
	Denied  []deniedJSON    `json:"denied,omitempty"` // left out: the account does not let the caller
}

func planJSON(plan routing.Plan) routeJSON {
	out := routeJSON{Route: plan.Rule, Line: plan.Line, Matched: plan.Matched, How: plan.How}
	for _, d := range plan.Denied {
		out.Denied = append(out.Denied, deniedJSON(d))
	}
	for _, t := range plan.Targets {
		target := targetJSON{
			Trunk: t.Trunk, Context: t.Context, Extension: t.Extension, Endpoint: t.Endpoint, TimeoutS: t.Timeout.Seconds(),
			Offline: t.Offline, ShownAs: t.Caller.Number, ShownName: t.Caller.Name, Variables: t.Variables,
		}
		if t.Number.Kind != 0 {
			target.Number = &numberJSON{t.Number.UserID, t.Number.Username, t.Number.Phone}
		}
		for _, n := range t.Others {
			target.Others = append(target.Others, numberJSON{n.UserID, n.Username, n.Phone})
		}
		out.Targets = append(out.Targets, target)
	}
	return out
}
