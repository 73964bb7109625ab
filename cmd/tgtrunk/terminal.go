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
	"golang.org/x/term"

	"github.com/tgtrunk/tgtrunk/telegram"
)

// terminal asks on standard input and output.
type terminal struct {
	in     *bufio.Reader
	out    io.Writer
	hidden *os.File // where secrets are typed without being shown; nil: they are lines like any other
	qr     bool
}

func newTerminal(in io.Reader, out io.Writer) *terminal {
	t := &terminal{in: bufio.NewReader(in), out: out}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.hidden = f
	}
	return t
}

// Phone implements telegram.LoginUI.
func (t *terminal) Phone(ctx context.Context, configured string) (string, error) {
	switch {
	case t.qr:
		return "", nil
	case configured != "":
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
	return t.secret(ctx, question+": ")
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
	line, err := awaitInput(ctx, func() (string, error) { return t.in.ReadString('\n') })
	if line = strings.TrimSpace(line); line != "" || err == nil || ctx.Err() != nil {
		return line, ctx.Err()
	}
	return "", fmt.Errorf("no answer on standard input: %w", err)
}

// secret is ask for what nobody may see on a terminal, which is left as it was found.
func (t *terminal) secret(ctx context.Context, question string) (string, error) {
	if t.hidden == nil {
		return t.ask(ctx, question)
	}
	fd := int(t.hidden.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask on the terminal: %w", err)
	}
	fmt.Fprint(t.out, question)
	text, err := awaitInput(ctx, func() (string, error) {
		typed, err := term.ReadPassword(fd)
		return string(typed), err
	})
	fmt.Fprintln(t.out)
	switch {
	case ctx.Err() != nil: // whoever reads still hides what is typed, up to the next line
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	case err != nil:
		return "", fmt.Errorf("ask on the terminal: %w", err)
	}
	return text, nil
}

// awaitInput reads from standard input, which cannot be interrupted: where ctx ends first the reader stays behind, and the
// process ends right after.
func awaitInput(ctx context.Context, read func() (string, error)) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err // a reader that begins now would hide what is typed when nobody shows it again
	}
	type answer struct {
		text string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := read()
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-answered:
		return a.text, a.err
	}
}
