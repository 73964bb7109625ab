package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
)

func newAccountCommand() *cobra.Command {
	parent := newGroup(&cobra.Command{Use: "account", Short: "Look after a Telegram account, or move it between stores"})
	parent.AddCommand(newExportCommand(), newImportCommand(), newDevicesCommand(), newPrivacyCommand())
	return parent
}

func newExportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "export NAME",
		Short: "Write an account's session, and what it knows of peers, to an encrypted file",
		Long: `Write an account's session, and what it knows of peers, to a file that only a passphrase opens.

No process may have the account meanwhile. Without --move the account stays in this store as well: never run it from
both, or Telegram ends the session for good.`,
		Args: cobra.ExactArgs(1),
	}
	path := configFlag(c)
	file := c.Flags().String("to", "", "the file to write; it must not exist")
	move := c.Flags().Bool("move", false, "let this store forget the account once the file is written")
	secret := passphraseFlag(c)
	_ = c.MarkFlagRequired("to")
	c.RunE = func(c *cobra.Command, args []string) error {
		return withAccount(c, *path, args[0], func(ctx context.Context, account *telegram.Account) error {
			passphrase, err := askPassphrase(c, *secret, true)
			if err != nil {
				return err
			}
			records := 0
			err = account.Export(ctx, *move, func(e store.Export) error {
				records = len(e.Records)
				return store.SaveExport(*file, e, passphrase)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %d records of account %s\n", *file, records, args[0])
			if *move {
				fmt.Fprintf(c.OutOrStdout(), "this store has forgotten account %s\n", args[0])
			} else {
				fmt.Fprintf(c.OutOrStdout(), "account %s is in this store as well: never run it from two stores\n", args[0])
			}
			return nil
		})
	}
	return c
}

func newImportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Take an account from a file that `tgtrunk account export` has written",
		Args:  cobra.ExactArgs(1),
	}
	path := configFlag(c)
	name := c.Flags().String("as", "", "the account's name in this configuration; default the one it was exported with")
	replace := c.Flags().Bool("replace", false, "write over a session that this store has of the account")
	secret := passphraseFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		sealed, err := os.ReadFile(args[0])
		if err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
		passphrase, err := askPassphrase(c, *secret, false)
		if err != nil {
			return err
		}
		e, err := store.OpenExport(sealed, passphrase)
		if err != nil {
			return fmt.Errorf("read the export %s: %w", args[0], err)
		}
		if *name == "" {
			*name = e.Account
		}
		return withAccount(c, *path, *name, func(ctx context.Context, account *telegram.Account) error {
			err := account.Import(ctx, e, *replace)
			if errors.Is(err, telegram.ErrHasSession) {
				return fmt.Errorf("%w: say --replace to write over it", err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "account %s: %d records, exported %s\n", *name, len(e.Records), e.Made.Local().Format(time.DateTime))
			return err
		})
	}
	return c
}

// withAccount does something with an account of the configuration that does not run.
func withAccount(c *cobra.Command, path, name string, do func(context.Context, *telegram.Account) error) (err error) {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	account, err := pickAccount(cfg, name)
	if err != nil {
		return err
	}
	log, err := newLogger(c.ErrOrStderr(), "warn", cfg.Log.Format)
	if err != nil {
		return err
	}
	return openAccount(c.Context(), cfg, account, log, do)
}

// openAccount opens the store and does something with the account in it.
func openAccount(ctx context.Context, cfg *config.Config, account config.Account, log *slog.Logger, do func(context.Context, *telegram.Account) error) (err error) {
	keep, err := openStore(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keep.Close()) }()
	trunk, err := newAccount(cfg, account, keep, nil, nil, log)
	if err != nil {
		return err
	}
	return do(ctx, trunk)
}

func passphraseFlag(c *cobra.Command) *string {
	return c.Flags().String("passphrase-env", "", "the environment variable with the passphrase; default: ask, or read a line of standard input")
}

// askPassphrase takes the passphrase from the environment or asks for it, twice where it is a new one.
func askPassphrase(c *cobra.Command, variable string, fresh bool) (string, error) {
	if variable != "" {
		passphrase := os.Getenv(variable)
		if passphrase == "" {
			return "", fmt.Errorf("environment variable %s is not set", variable)
		}
		return passphrase, nil
	}
	ui := newTerminal(c.InOrStdin(), c.ErrOrStderr())
	first, err := ui.secret(c.Context(), "Passphrase: ")
	if err != nil || !fresh || ui.hidden == nil {
		return first, err
	}
	again, err := ui.secret(c.Context(), "Once more: ")
	if err == nil && first != again {
		err = errors.New("the two passphrases differ")
	}
	return first, err
}
