package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/telegram"
)

func newLoginCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "login",
		Short: "Log a Telegram account in, with a code or by QR",
		Long: `Log a Telegram account in and keep its session in the store. A service on the same Redis may run meanwhile, and goes on
with the account by itself; one with its store in a directory must be stopped first, for such a store has one owner.

Code and password are asked for on the terminal, or read from standard input, one a line, where it is none.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	name := c.Flags().String("account", "", "the account; may be left out where there is one only")
	qr := c.Flags().Bool("qr", false, "draw a QR code to scan with the phone (Settings, Devices, Link Desktop Device)")
	logLevel := c.Flags().String("log-level", "warn", "debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		account, err := pickAccount(cfg, *name)
		if err != nil {
			return err
		}
		log, err := newLogger(c.ErrOrStderr(), *logLevel, cfg.Log.Format)
		if err != nil {
			return err
		}
		ui := newTerminal(c.InOrStdin(), c.OutOrStdout())
		ui.qr = *qr
		return openAccount(c.Context(), cfg, account, log, func(ctx context.Context, trunk *telegram.Account) error {
			return trunk.Login(ctx, ui)
		})
	}
	return c
}

func pickAccount(cfg *config.Config, name string) (config.Account, error) {
	if name == "" && len(cfg.Accounts) == 1 {
		return cfg.Accounts[0], nil
	}
	var names []string
	for _, a := range cfg.Accounts {
		if a.Name == name {
			return a, nil
		}
		names = append(names, a.Name)
	}
	if name == "" {
		return config.Account{}, fmt.Errorf("say which account with --account: %s", strings.Join(names, ", "))
	}
	return config.Account{}, fmt.Errorf("%s has no account %q; it has %s", cfg.Path, name, strings.Join(names, ", "))
}
