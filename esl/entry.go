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

// entries are the calls that came over our own socket: FreeSWITCH's socket application has connected, and goes on in
// the dialplan when that connection is closed. All else is done over the other socket.
type entries struct {
	mu   sync.Mutex
	open map[string]*entry // guarded by mu; by uuid of the caller's channel
}

// entry is the connection of one caller. A nil entry is one that is not there.
type entry struct{ conn net.Conn }

func (e *entry) close() {
	if e != nil {
		_ = e.conn.Close()
	}
}

func (es *entries) put(id string, e *entry) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.open == nil {
		es.open = map[string]*entry{}
	}
	es.open[id] = e
}

func (es *entries) has(id string) bool {
	es.mu.Lock()
	defer es.mu.Unlock()
	return es.open[id] != nil
}

// take returns the entry of a channel and forgets it; nil where there is none.
func (es *entries) take(id string) *entry {
	es.mu.Lock()
	defer es.mu.Unlock()
	e := es.open[id]
	delete(es.open, id)
	return e
}

// drop forgets an entry and reports whether it was there still: not taken, nor followed by another of the same channel.
func (es *entries) drop(id string, e *entry) bool {
	es.mu.Lock()
	defer es.mu.Unlock()
	if es.open[id] != e {
		return false
	}
	delete(es.open, id)
	return true
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
	if err != nil {
		l.opt.Log.Warn("refused a call of the socket application", "error", err)
		return
	}
	own := &entry{conn}
	l.entries.put(e.id, own)
	defer l.entries.drop(e.id, own)
	if !l.arrive(ctx, e, accept) && l.legs.Owner(e.id) == nil {
		return
	}
	// What FreeSWITCH says here it says on the other socket too.
	_, _ = io.Copy(io.Discard, conn)
	if owner := l.legs.Owner(e.id); l.entries.drop(e.id, own) && owner != nil {
		owner.inbox.Put(entryClosed{})
	}
}

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
