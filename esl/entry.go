package esl

import (
	"bufio"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// entry is the connection of a caller who came over our own socket: FreeSWITCH's socket application has connected, and goes
// on in the dialplan when that connection is closed. All else is done over the other socket. A nil entry is one that is
// not there.
type entry struct{ conn net.Conn }

func (e *entry) close() {
	if e != nil {
		_ = e.conn.Close()
	}
}

func (l *Link) listenEntries() (net.Listener, error) {
	if l.opt.Socket.Listen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", l.opt.Socket.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the socket application: %w", err)
	}
	return listener, nil
}

// serveEntries takes connections until ctx ends.
func (l *Link) serveEntries(ctx context.Context, listener net.Listener, accept func(bridge.Offer)) {
	if listener == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	allowed, err := parseNetworks(l.opt.Socket.Allow)
	if err != nil {
		return // New has checked it
	}
	l.opt.Log.Info("listening for the socket application", "address", listener.Addr())
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := listener.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			l.opt.Log.Warn("accept the socket application", "error", err)
			if !pbx.Sleep(ctx, 100*time.Millisecond) {
				return
			}
			continue
		case !isAllowed(allowed, conn.RemoteAddr()):
			l.opt.Log.Warn("refused a connection to the socket for the dialplan: its address is not in socket.allow",
				"address", conn.RemoteAddr())
			_ = conn.Close()
			continue
		}
		serving.Go(func() { l.serveEntry(ctx, conn, accept) })
	}
}

func isAllowed(allowed []netip.Prefix, address net.Addr) bool {
	at, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return false
	}
	for _, network := range allowed {
		if network.Contains(at.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// serveEntry offers the call of one connection and keeps that open until the leg lets it go or FreeSWITCH closes it.
func (l *Link) serveEntry(ctx context.Context, conn net.Conn, accept func(bridge.Offer)) {
	var reading sync.WaitGroup
	defer reading.Wait()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	e, err := greet(conn, l.opt.RequestTimeout)
	if err == nil && l.opt.Socket.Password != "" && subtle.ConstantTimeCompare([]byte(e.variable(varPassword)), []byte(l.opt.Socket.Password)) != 1 {
		err = fmt.Errorf("channel variable %s is not the password of socket.password", varPassword)
	}
	if err == nil && l.verbs().err != nil {
		err = l.verbs().err // the dialplan goes on at once
	}
	own, closed := &entry{conn}, make(chan struct{})
	if err == nil {
		reading.Go(func() {
			defer close(closed)
			_, _ = io.Copy(io.Discard, conn) // what FreeSWITCH says here it says on the other socket too
		})
		err = l.admit(ctx, e, own, closed, accept)
	}
	if err != nil {
		l.opt.Log.Warn("refused a call of the socket application", "error", err)
		return
	}
	<-closed
	if owner := l.legs.Owner(e.id); owner != nil {
		owner.inbox.Put(entryClosed{own})
	}
}

// admit offers the call of a connection. A channel that is in a call of ours already was sent to the socket by somebody:
// that call's leg is told, and gives the channel up, or sends it on.
func (l *Link) admit(ctx context.Context, e event, own *entry, closed <-chan struct{}, accept func(bridge.Offer)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*l.opt.RequestTimeout)
	defer cancel()
	var told *leg
	for {
		owner := l.legs.Owner(e.id)
		switch {
		case owner == nil && told == nil && l.isOurs(e):
			return errors.New("the channel is one of our own")
		case owner == nil && l.enlist(context.WithoutCancel(ctx), e, own, accept):
			return nil
		case owner != nil && owner != told:
			told = owner
			owner.inbox.Put(enteredAgain{e})
		}
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the channel is in another call: %w", ctx.Err())
		case <-time.After(entryPause):
		}
	}
}

// entryPause is between two looks whether a leg has given its channel up.
const entryPause = 10 * time.Millisecond

// maxEntryData limits what FreeSWITCH may say of a call in bytes: it sends a few thousand.
const maxEntryData = 1 << 20

// greet asks for the call and returns its data.
func greet(conn net.Conn, limit time.Duration) (event, error) {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return event{}, err
	}
	if _, err := io.WriteString(conn, "connect\n\n"); err != nil {
		return event{}, err
	}
	e, err := readEntry(conn)
	if err != nil {
		return event{}, fmt.Errorf("read the call's data: %w", err)
	}
	return e, conn.SetDeadline(time.Time{})
}

// readEntry reads the answer to "connect": the call's data in the form of a plain event, without a frame around it, and
// how the socket application was called (mod_event_socket.c, parse_command).
func readEntry(in io.Reader) (event, error) {
	text, err := readBlock(bufio.NewReader(io.LimitReader(in, maxEntryData)))
	if err != nil {
		return event{}, err
	}
	flat, ok := decodePlain([]byte(text))
	if !ok {
		return event{}, errors.New("no header lines")
	}
	if flat["Socket-Mode"] == "static" {
		return event{}, errors.New("the socket application is not asynchronous, such a channel cannot be bridged: " +
			"add the word async behind the address in the dialplan")
	}
	e := newEvent(flat)
	if e.id == "" {
		e.id = flat["Channel-Unique-ID"]
	}
	if !validID(e.id) {
		return event{}, errors.New("no uuid")
	}
	return e, nil
}

// readBlock reads lines up to an empty one.
func readBlock(in *bufio.Reader) (string, error) {
	var text strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if strings.TrimRight(line, "\r\n") == "" {
			return text.String(), nil
		}
		text.WriteString(strings.TrimRight(line, "\r\n") + "\n")
	}
}
