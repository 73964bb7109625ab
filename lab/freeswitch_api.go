package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// maxAPIReply bounds the answer to one command, in bytes.
const maxAPIReply = 16 << 20

// API runs one command of FreeSWITCH, such as "show channels", over a connection of its own and returns its output.
// Nothing of package esl, which is tested with it, has a hand in that. Without a deadline in ctx it takes ten seconds at
// most. A command that fails is no error: its output begins with -ERR.
func (f *FreeSWITCH) API(ctx context.Context, command string) (string, error) {
	if strings.ContainsAny(command, "\r\n") {
		return "", fmt.Errorf("freeswitch command %q has more than one line", command)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cliDeadline)
		defer cancel()
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", f.ESLAddr())
	if err != nil {
		return "", fmt.Errorf("freeswitch command %q: %w", command, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	out, err := converse(conn, f.options.Password, command)
	if err != nil {
		return "", fmt.Errorf("freeswitch command %q: %w", command, errors.Join(err, ctx.Err()))
	}
	return strings.TrimSpace(out), nil
}

// converse speaks the protocol of the event socket: frames of headers with an empty line behind them, and a body of
// Content-Length bytes.
func converse(conn io.ReadWriter, password, command string) (string, error) {
	frames := textproto.NewReader(bufio.NewReader(conn))
	if greeting, err := frames.ReadMIMEHeader(); err != nil || greeting.Get("Content-Type") != "auth/request" {
		return "", fmt.Errorf("no event socket of freeswitch: %v, %w", greeting, err)
	}
	if _, err := fmt.Fprintf(conn, "auth %s\n\n", password); err != nil {
		return "", err
	}
	reply, err := frames.ReadMIMEHeader()
	if err != nil {
		return "", err
	}
	if text := reply.Get("Reply-Text"); !strings.HasPrefix(text, "+OK") {
		return "", fmt.Errorf("password: %s: %w", text, errPortTaken)
	}
	if _, err := fmt.Fprintf(conn, "api %s\n\n", command); err != nil {
		return "", err
	}
	answer, err := frames.ReadMIMEHeader()
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(answer.Get("Content-Length"))
	if err != nil || n < 0 || n > maxAPIReply {
		return "", fmt.Errorf("answer of %q bytes", answer.Get("Content-Length"))
	}
	body := make([]byte, n)
	_, err = io.ReadFull(frames.R, body)
	return string(body), err
}

// Channels returns the number of channels there are.
func (f *FreeSWITCH) Channels(ctx context.Context) (int, error) {
	out, err := f.API(ctx, "show channels count")
	if err != nil {
		return 0, err
	}
	var n int
	if _, err := fmt.Sscanf(out, "%d total", &n); err != nil {
		return 0, fmt.Errorf("count channels: unexpected answer %q", out)
	}
	return n, nil
}

// WaitChannels waits until there are n channels or ctx ends; then the error says how many there are.
func (f *FreeSWITCH) WaitChannels(ctx context.Context, n int) error {
	return waitChannels(ctx, n, f.Channels)
}
