package ari

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

const maxEvent = 4 << 20 // bytes of one message; bridge events list every channel of a bridge

// socket is the event half of ARI. A half-open connection is found by pings: Asterisk itself sends nothing while no
// call changes.
type socket struct {
	conn    *websocket.Conn
	timeout time.Duration
}

// dialEvents opens the event socket, which makes this process the one that serves the application.
func (r *rest) dialEvents(ctx context.Context, app string) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target := "ws" + strings.TrimPrefix(r.base, "http") + "/events?" + url.Values{"app": {app}}.Encode()
	login := base64.StdEncoding.EncodeToString([]byte(r.username + ":" + r.password))
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient: r.client,
		HTTPHeader: http.Header{"Authorization": {"Basic " + login}},
	})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, &ResponseError{Request: "GET /events", Status: resp.StatusCode}
		}
		return nil, fmt.Errorf("open event socket: %w", withoutURL(err))
	}
	conn.SetReadLimit(maxEvent)
	return &socket{conn: conn, timeout: r.timeout}, nil
}

// read hands every message to handle until the connection or ctx ends, or handle fails. Handle must not block:
// Asterisk drops a socket it cannot write to within 100 ms (ari.conf websocket_write_timeout).
func (s *socket) read(ctx context.Context, handle func([]byte) error) error {
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("read event socket: %w", err)
		}
		if err := handle(data); err != nil {
			return err
		}
	}
}

// watch pings until ctx ends or an answer is overdue, which it returns as an error.
func (s *socket) watch(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		pingCtx, cancel := context.WithTimeout(ctx, s.timeout)
		err := s.conn.Ping(pingCtx)
		cancel()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("event socket does not answer a ping within %v: %w", s.timeout, err)
		}
	}
}

// close ends the connection at once.
func (s *socket) close() { _ = s.conn.CloseNow() }

// withoutURL drops the address that net/http wraps around an error.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// explain turns the failure of a connection attempt into words that say what to do.
func explain(o Options, err error) error {
	var refused *ResponseError
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused):
		return explainStatus(o, refused)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: is asterisk running, with enabled=yes and this bindaddr and bindport "+
			"in http.conf? (%w)", o.URL, err)
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s has no address: check url (%w)", o.URL, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("asterisk at %s does not answer within %v: check url, firewall and load (%w)",
			o.URL, o.RequestTimeout, err)
	}
	return fmt.Errorf("connect to asterisk at %s: %w", o.URL, err)
}

func explainStatus(o Options, refused *ResponseError) error {
	switch refused.Status {
	case http.StatusUnauthorized:
		return fmt.Errorf("asterisk at %s refuses user %q or its password: compare with section [%s] of ari.conf, then "+
			"\"module reload res_ari.so\" (%w)", o.URL, o.Username, o.Username, refused)
	case http.StatusForbidden:
		return fmt.Errorf("user %q may not do this: set read_only=no in section [%s] of ari.conf (%w)",
			o.Username, o.Username, refused)
	case http.StatusNotFound:
		return fmt.Errorf("there is no ARI at %s: check the path (\"/ari\", behind prefix of http.conf) and that "+
			"enabled=yes in ari.conf and the modules res_ari*.so are loaded (%w)", o.URL, refused)
	}
	return fmt.Errorf("asterisk at %s: %w", o.URL, refused)
}
