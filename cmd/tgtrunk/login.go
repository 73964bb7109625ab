package main

import (
	"bufio"
	"context"
	"errors"
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
		ui := newTerminal(c.InOrStdin(), c.OutOrStdout(), *qr)
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
	tty *os.File // what in reads where that is a terminal; nil where it is none
	out io.Writer
	qr  bool
}

func newTerminal(in io.Reader, out io.Writer, qr bool) *terminal {
	t := &terminal{in: bufio.NewReader(in), out: out, qr: qr}
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		t.tty = file
	}
	return t
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
	if t.tty != nil {
		return t.askHidden(ctx, question+": ")
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
	return orGiveUp(ctx, func() (string, error) {
		line, err := t.in.ReadString('\n')
		if line = strings.TrimSpace(line); line == "" && err != nil {
			return "", fmt.Errorf("no answer on standard input: %w", err)
		}
		return line, nil
	})
}

// askHidden is ask for what must not be seen on the terminal.
func (t *terminal) askHidden(ctx context.Context, question string) (string, error) {
	fd := int(t.tty.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("prepare the terminal for a password: %w", err)
	}
	fmt.Fprint(t.out, question)
	defer fmt.Fprintln(t.out)
	answer, err := orGiveUp(ctx, func() (string, error) {
		line, err := term.ReadPassword(fd)
		return string(line), err
	})
	if ctx.Err() != nil { // it is still being read: nobody else makes what is typed visible again
		err = errors.Join(err, term.Restore(fd, before))
	}
	return answer, err
}

// orGiveUp returns what read returns, and gives up when ctx ends: a read from the terminal cannot be interrupted, so it goes on
// until the process ends, right after.
func orGiveUp(ctx context.Context, read func() (string, error)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	type answer struct {
		line string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		line, err := read()
		answered <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answered:
		return a.line, a.err
	}
}
