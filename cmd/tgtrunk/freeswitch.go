package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/deploy/freeswitch"
)

func newFreeSWITCHCommand() *cobra.Command {
	c := newGroup(&cobra.Command{Use: "freeswitch", Short: "Prepare a FreeSWITCH for tgtrunk"})
	c.AddCommand(newFreeSWITCHInstallCommand())
	return c
}

type installFlags struct {
	config        string
	dryRun, force bool
}

func newFreeSWITCHInstallCommand() *cobra.Command {
	var flags installFlags
	c := &cobra.Command{
		Use:   "install",
		Short: "Write the files that tgtrunk needs into FreeSWITCH's configuration directory",
		Long: `Write the event socket, the profile and the user of mod_verto, and the dialplan into FreeSWITCH's configuration
directory, with passwords of their own, and print the lines for tgtrunk.yaml that fit. What is there and fits is left as it
is, so the command may be repeated. A file that lacks something is left as it is too, unless --force is given: what it
should be is written to FILE.new, and the exit status is 1. It talks to no running FreeSWITCH: it says what to load and
reload.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return installFreeSWITCH(c, flags) },
	}
	f := c.Flags()
	f.StringVar(&flags.config, "config", "", "FreeSWITCH's configuration directory (default: /etc/freeswitch or /usr/local/freeswitch/conf)")
	f.BoolVar(&flags.dryRun, "dry-run", false, "change nothing, print the unified diff of what would be done with --force")
	f.BoolVar(&flags.force, "force", false, "replace files that lack something, and keep a copy, FILE.bak")
	return c
}

func installFreeSWITCH(c *cobra.Command, flags installFlags) error {
	dir := flags.config
	if dir == "" {
		found, err := freeswitch.Find()
		if err != nil {
			return fmt.Errorf("%w; name it with --config", err)
		}
		dir = found
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var generate func() string // random ones
	if flags.dryRun {
		generate = func() string { return "(generated)" }
	}
	plan, err := freeswitch.Look(dir, generate)
	if err != nil {
		return err
	}
	say := c.ErrOrStderr()
	if flags.dryRun {
		_, err := io.WriteString(c.OutOrStdout(), plan.Diff())
		explainPlan(say, plan)
		return err
	}
	done, err := plan.Apply(flags.force)
	for _, line := range done {
		fmt.Fprintln(say, line)
	}
	if err != nil && !errors.Is(err, freeswitch.ErrDiffers) {
		return err
	}
	explainPlan(say, plan)
	if err != nil {
		return fmt.Errorf("%w: compare each with its .new, or repeat with --force, which keeps a copy", err)
	}
	return printLink(c.OutOrStdout(), plan.Settings)
}

// explainPlan says what is left to do.
func explainPlan(w io.Writer, plan *freeswitch.Plan) {
	if len(plan.Changes) == 0 {
		fmt.Fprintln(w, "nothing to do in", plan.Dir)
	}
	if len(plan.Missing) > 0 {
		fmt.Fprintf(w, "to be loaded, in %s:\n", filepath.Join(plan.Dir, "autoload_configs", "modules.conf.xml"))
		for _, module := range plan.Missing {
			fmt.Fprintf(w, "  <load module=%q/>\n", module)
		}
	}
	for _, note := range plan.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	if commands := plan.Commands(); len(commands) > 0 {
		fmt.Fprintln(w, "a FreeSWITCH that runs reads it after:")
		for _, command := range commands {
			fmt.Fprintln(w, " ", command)
		}
	}
}

// printLink prints the section of tgtrunk.yaml that fits.
func printLink(w io.Writer, s freeswitch.Settings) error {
	secret := func(password, variable string) string {
		if password == "" {
			return fmt.Sprintf("{env: %s}", variable)
		}
		return strconv.Quote(password)
	}
	_, err := fmt.Fprintf(w, `pbx:
  - name: office
    freeswitch:
      address: %q
      password: %s
      verto:
        url: %q
        login: %q
        password: %s
`, s.EventSocket, secret(s.Password, "TGTRUNK_ESL_PASSWORD"), "ws://"+s.Verto, freeswitch.Login,
		secret(s.VertoPassword, "TGTRUNK_VERTO_PASSWORD"))
	return err
}
