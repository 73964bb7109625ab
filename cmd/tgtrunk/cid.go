package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
)

func newCIDCommand() *cobra.Command {
	parent := newGroup(&cobra.Command{Use: "cid", Short: "Work with the numbers and names that callers are shown by"})
	parent.AddCommand(newCIDPreviewCommand())
	return parent
}

type previewFlags struct {
	config, account, route string
	person                 personFlags
	json                   bool
}

// personFlags describe a Telegram user without asking Telegram.
type personFlags struct {
	userID                       int64
	username, phone, first, last string
}

func newCIDPreviewCommand() *cobra.Command {
	var flags previewFlags
	c := &cobra.Command{
		Use:   "preview [@USERNAME|+PHONE|USER-ID]",
		Short: "Show number and name by which the PBX would see a caller, and which rules made them",
		Long: `Show number and name by which the PBX would see a caller, for every route from an account, and which rules made them.

The person is described by flags, or is looked up in the store, which knows everybody the account has met; flags then
replace what is stored. Telegram is not asked, and nothing is changed: the service may run.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runPreview(c, flags, strings.Join(args, "")) },
	}
	configVar(c, &flags.config)
	f := c.Flags()
	f.StringVar(&flags.account, "account", "", "only routes from this account")
	f.StringVar(&flags.route, "route", "", "only this route")
	f.Int64Var(&flags.person.userID, "userid", 0, "the caller's user-id")
	f.StringVar(&flags.person.username, "username", "", "the caller's username")
	f.StringVar(&flags.person.phone, "phone", "", "the caller's phone number, where it is visible")
	f.StringVar(&flags.person.first, "first", "", "the caller's first name")
	f.StringVar(&flags.person.last, "last", "", "the caller's last name")
	f.BoolVar(&flags.json, "json", false, "print one JSON object a route and line")
	return c
}

func runPreview(c *cobra.Command, flags previewFlags, who string) error {
	cfg, err := config.Load(flags.config)
	if err != nil {
		return err
	}
	if who == "" && flags.person == (personFlags{}) {
		return errors.New("say who calls: @USERNAME, +PHONE or USER-ID of somebody the account has met, or --userid and the like")
	}
	known, err := storedPeople(c.Context(), cfg, flags.account, who)
	if err != nil {
		return err
	}
	shown := 0
	for _, a := range cfg.Accounts {
		party, met := known[a.Name]
		if flags.account != "" && a.Name != flags.account || who != "" && !met {
			continue
		}
		for _, p := range cfg.Table.Present(a.Name, flags.person.over(party)) {
			if flags.route != "" && p.Route != flags.route {
				continue
			}
			shown++
			if err := printPresentation(c.OutOrStdout(), p, flags.json); err != nil {
				return err
			}
		}
	}
	if shown == 0 {
		return errors.New("no route from an account to a PBX fits --account and --route")
	}
	return nil
}

// over replaces what is known of a person by what the flags say.
func (f personFlags) over(p routing.Party) routing.Party {
	replace := func(field *string, value string) {
		if value != "" {
			*field = value
		}
	}
	if f.userID != 0 {
		p.UserID = f.userID
	}
	replace(&p.Username, strings.TrimPrefix(f.username, "@"))
	replace(&p.Phone, f.phone)
	replace(&p.First, f.first)
	replace(&p.Last, f.last)
	if f.first != "" || f.last != "" {
		p.Name = strings.TrimSpace(p.First + " " + p.Last)
	}
	return p
}

// storedPeople returns what each account that has met somebody knows of him; nothing for nobody.
func storedPeople(ctx context.Context, cfg *config.Config, account, who string) (map[string]routing.Party, error) {
	if who == "" {
		return nil, nil
	}
	number, err := whoIs(who)
	if err != nil {
		return nil, err
	}
	keep, err := openStoreToRead(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("look %s up: %w; or describe the person with --userid, --username, --phone, --first and --last", who, err)
	}
	defer func() { _ = keep.Close() }() // nothing was written
	known := map[string]routing.Party{}
	for _, a := range cfg.Accounts {
		if account != "" && a.Name != account {
			continue
		}
		peer, err := telegram.StoredPeer(ctx, keep, a.Name, number)
		switch {
		case err == nil:
			known[a.Name] = peer.Party()
		case !errors.Is(err, telegram.ErrNotStored):
			return nil, err
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("no account has met %s; describe the person with --userid, --username, --phone, --first and --last", who)
	}
	return known, nil
}

// whoIs reads @USERNAME, +PHONE and USER-ID, with or without a star. No rule of the configuration matters here.
func whoIs(text string) (routing.Number, error) {
	rules := routing.NumberRules{CallerID: []routing.CallerRule{{Text: "{userid}"}, {Text: "*{userid}"}, {Text: "+{phone}"}}}
	numbers, err := routing.NewNumbers(rules)
	if err != nil {
		return routing.Number{}, err
	}
	reading, err := numbers.Read(text)
	return reading.Number, err
}

func printPresentation(w io.Writer, p routing.Presentation, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Route     string `json:"route"`
			Line      int    `json:"line"`
			From      string `json:"from"`
			To        string `json:"to"`
			Takes     bool   `json:"takes"`
			Number    string `json:"number"`
			NumberBy  string `json:"number_by"`
			Name      string `json:"name"`
			NameBy    string `json:"name_by"`
			CallsBack bool   `json:"calls_back"`
		}{p.Route, p.Line, p.From, p.To, p.Takes, p.Number.Number, p.Number.Rule, p.Name, p.NameBy, p.CallsBack})
	}
	by := func(text, what, rule string) string {
		if text == "" {
			return "none: nothing is known that a rule of " + what + " shows"
		}
		return fmt.Sprintf("%s   by %s %q", text, what, rule)
	}
	takes, back := "takes this caller's calls", "calls this user back"
	if !p.Takes {
		takes = "does not take this caller's calls"
	}
	if !p.CallsBack {
		back = "does not call this user back"
	}
	_, err := fmt.Fprintf(w, "route   %s (line %s), %s to %s: %s\nnumber  %s\nname    %s\nback    dialled at %s, the number %s\n",
		p.Route, strconv.Itoa(p.Line), p.From, p.To, takes,
		by(p.Number.Number, "caller_id", p.Number.Rule), by(p.Name, "caller_name", p.NameBy), p.To, back)
	return err
}
