package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
)

func newDevicesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "devices NAME",
		Short: "List the devices that an account is logged in on, and whether its calls ring there",
		Long: `List the devices that an account is logged in on, and whether its calls ring there.

A call to the account goes to every device that rings, and whoever answers first has it. --stop-calls leaves only the
PBX. No process may have the account meanwhile: stop the service for it.`,
		Args: cobra.ExactArgs(1),
	}
	path := configFlag(c)
	stop := c.Flags().Bool("stop-calls", false, "let calls ring here only")
	c.RunE = func(c *cobra.Command, args []string) error {
		return withAccount(c, *path, args[0], func(ctx context.Context, account *telegram.Account) error {
			if !*stop {
				devices, err := account.Devices(ctx)
				if err != nil {
					return explainHeld(args[0], err)
				}
				return printDevices(c.OutOrStdout(), devices)
			}
			devices, changed, err := account.StopCalls(ctx)
			if err := printDevices(c.OutOrStdout(), devices); err != nil {
				return err
			}
			for _, d := range changed {
				word := "off"
				if d.Current {
					word = "on"
				}
				fmt.Fprintf(c.OutOrStdout(), "calls were switched %s: %s\n", word, d)
			}
			if err == nil && len(changed) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing had to be changed")
			}
			return explainHeld(args[0], err)
		})
	}
	return c
}

func printDevices(out io.Writer, devices []telegram.LinkedDevice) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(devices) > 0 {
		fmt.Fprintln(table, "DEVICE\tAPP\tCOUNTRY\tLAST ACTIVE\tCALLS")
	}
	for _, d := range devices {
		name, calls := d.Name, "off"
		if d.Current {
			name += " (this one)"
		}
		if d.Rings {
			calls = "ring"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", name, d.App, d.Country, d.Active.Local().Format(time.DateTime), calls)
	}
	return table.Flush()
}

func newPrivacyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "privacy NAME",
		Short: "Set an account's privacy as a gateway needs it",
		Long: `Set an account's privacy as a gateway needs it: calls from everybody, direct calls as accounts[].p2p says, invitations
to groups from nobody. What is so already is left alone, and so are the owner's exceptions. The configuration does the
same with accounts[].privacy: gateway. No process may have the account meanwhile: stop the service for it.`,
		Args: cobra.ExactArgs(1),
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return withAccount(c, *path, args[0], func(ctx context.Context, account *telegram.Account) error {
			done, err := account.ApplyPrivacy(ctx)
			for _, d := range done {
				word := "was so already"
				if d.Changed {
					word = "changed"
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", d.Name, word)
			}
			return explainHeld(args[0], err)
		})
	}
	return c
}

// explainHeld says what to do about an error of a command that needs an account for itself.
func explainHeld(name string, err error) error {
	var held *store.HeldError
	switch {
	case errors.Is(err, telegram.ErrLoggedOut):
		return fmt.Errorf("%w: log it in by tgtrunk login --account %s", err, name)
	case errors.As(err, &held):
		return fmt.Errorf("%w: stop it first", err)
	case errors.Is(err, telegram.ErrTooFresh):
		return fmt.Errorf("%w: try again when it is a day old", err)
	}
	return err
}
