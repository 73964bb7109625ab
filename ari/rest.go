package ari

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

const (
	maxReply = 64 << 20 // bytes; the list of channels of a large PBX takes a few MiB
	maxDrain = 64 << 10 // bytes of an unwanted body that are read to keep the connection

	// Asterisk closes idle connections after 15 s (http.conf session_keep_alive): ours must go first, because a request
	// on a connection that is being closed fails.
	idleConnection = 10 * time.Second
)

// rest is the HTTP half of ARI. Every request has a deadline; none is repeated.
type rest struct {
	base     string // without trailing slash
	username string
	password string
	timeout  time.Duration
	client   *http.Client

	noBulk atomic.Bool // this Asterisk cannot set several variables in one request
}

func newREST(o Options) *rest {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &rest{
		base: strings.TrimRight(o.URL, "/"), username: o.Username, password: o.Password, timeout: o.RequestTimeout,
		client: &http.Client{
			Transport: &http.Transport{
				// HTTP/1 only: a proxy in front may offer HTTP/2, which has no way for the event socket.
				Protocols: protocols, MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, IdleConnTimeout: idleConnection,
			},
			// Asterisk never redirects; whoever does must not be given the password.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// close drops idle connections; requests fail no sooner for it.
func (r *rest) close() { r.client.CloseIdleConnections() }

// get, post and remove ask for path, which is escaped by the caller where it holds foreign text. body and out may be
// nil; a query may be nil.
func (r *rest) get(ctx context.Context, path string, query url.Values, out any) error {
	return r.do(ctx, http.MethodGet, path, query, nil, out)
}

func (r *rest) post(ctx context.Context, path string, query url.Values, body, out any) error {
	return r.do(ctx, http.MethodPost, path, query, body, out)
}

func (r *rest) remove(ctx context.Context, path string, query url.Values) error {
	return r.do(ctx, http.MethodDelete, path, query, nil, nil)
}

func (r *rest) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := r.request(ctx, method, path, query, body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		// The text of the error as it is repeats the whole URL, whose query holds variables.
		return fmt.Errorf("%s %s: %w", method, path, withoutURL(err))
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain)
		_ = resp.Body.Close()
	}()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &ResponseError{Request: method + " " + path, Status: resp.StatusCode, Message: errorMessage(resp.Body)}
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: decode reply: %w", method, path, err)
	}
	return nil
}

func (r *rest) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
		content = bytes.NewReader(text)
	}
	target := r.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, errors.New("request does not fit into a url")
	}
	req.SetBasicAuth(r.username, r.password)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// errorMessage takes Asterisk's own words out of the body of a refusal: {"message":…}, or {"error":…} for a failed
// originate. Anything else, such as a proxy's page, is left out.
func errorMessage(body io.Reader) string {
	var said struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxDrain)).Decode(&said); err != nil {
		return ""
	}
	if said.Message == "" {
		said.Message = said.Error
	}
	return routing.SanitizeText(said.Message, maxValueBytes)
}
