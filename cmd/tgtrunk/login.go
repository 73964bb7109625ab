package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

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
		ui := &terminal{in: bufio.NewReader(c.InOrStdin()), out: c.OutOrStdout(), qr: *qr}
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

// terminal asks on standard input and output.
type terminal struct {
	in  *bufio.Reader
	out io.Writer
	qr  bool
}

// Phone implements telegram.LoginUI.
func (t *terminal) Phone(ctx context.Context, configured string) (string, error) {
	if t.qr || configured != "" {
		if t.qr {
			return "", nil
		}
		return configured, nil
	}
	return t.ask(ctx, "Phone number of the account, with + (empty: log in by QR code): ")
}

// Code implements telegram.LoginUI.
func (t *terminal) Code(ctx context.Context, sent telegram.SentCode) (string, error) {
	return t.ask(ctx, fmt.Sprintf("Telegram has sent a code (%s). Code: ", sent.Where))
}

// Password implements telegram.LoginUI.
func (t *terminal) Password(ctx context.Context, hint string) (string, error) {
	question := "Password of the account"
	if hint != "" {
		question += " (hint: " + hint + ")"
	}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(t.out, question+": ")
		password, err := term.ReadPassword(fd)
		fmt.Fprintln(t.out)
		return string(password), err
	}
	return t.ask(ctx, question+": ")
}

// ShowQR implements telegram.LoginUI.
func (t *terminal) ShowQR(_ context.Context, link string, expires time.Time) error {
	fmt.Fprintln(t.out, "Scan this with the Telegram app: Settings, Devices, Link Desktop Device.")
	qrterminal.GenerateHalfBlock(link, qrterminal.L, t.out)
	fmt.Fprintf(t.out, "A new one follows at %s.\n", expires.Local().Format(time.TimeOnly))
	return nil
}

// Notice implements telegram.LoginUI.
func (t *terminal) Notice(text string) { fmt.Fprintln(t.out, text) }

// ask prints a question and reads a line; it gives up when ctx ends.
func (t *terminal) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(t.out, question)
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() { // standard input cannot be interrupted; the process ends right after
		line, err := t.in.ReadString('\n')
		answered <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answered:
		line := strings.TrimSpace(a.line)
		if line == "" && a.err != nil {
			return "", fmt.Errorf("no answer on standard input: %w", a.err)
		}
		return line, nil
	}
}
