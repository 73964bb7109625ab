package esl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// vertoSession is one WebSocket to mod_verto that is logged in: JSON-RPC 2.0 both ways. It opens legs, and hears when
// they end. With it end all its legs (recoverCall false).
type vertoSession struct {
	conn  *websocket.Conn
	limit time.Duration
	id    string // sessid, ours
	ended func(call string)

	mu      sync.Mutex
	count   int64                         // guarded by mu; ids of requests
	replies map[int64]chan vertoMessage   // guarded by mu; who waits for a result
	invites map[string]chan vertoMessage  // guarded by mu; by callID: answer or bye
	calls   map[string]func(vertoMessage) // guarded by mu; by callID: who hears all of a call, until its bye
	early   map[string]string             // guarded by mu; SDP that came with verto.media, by callID
	lost    chan struct{}                 // closed when the reader ends
}

// vertoMessage is a request, a result or an error of JSON-RPC.
type vertoMessage struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		CallID string `json:"callID"`
		SDP    string `json:"sdp"`
		Cause  string `json:"cause"`
	} `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

const maxVertoMessage = 1 << 20 // bytes

// Errors of mod_verto's login.
var (
	errVertoLogin  = errors.New("mod_verto refuses login or password")
	errVertoMethod = errors.New("mod_verto refuses the method")
)

// dialVerto opens the WebSocket. The caller reads it and logs in; ended hears of every leg that FreeSWITCH ends after
// its answer.
func dialVerto(ctx context.Context, o VertoOptions, limit time.Duration, id string, ended func(call string)) (*vertoSession, error) {
	dialing, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// A transport of its own: what a dial that was given up leaves in the pool of a shared one stays there for long.
	transport := &http.Transport{IdleConnTimeout: time.Second, TLSHandshakeTimeout: limit}
	defer transport.CloseIdleConnections()
	conn, _, err := websocket.Dial(dialing, o.URL, &websocket.DialOptions{ //nolint:bodyclose // the library closes it
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		return nil, fmt.Errorf("open websocket of mod_verto: %w", err)
	}
	conn.SetReadLimit(maxVertoMessage)
	s := &vertoSession{conn: conn, limit: limit, id: id, ended: ended, replies: map[int64]chan vertoMessage{},
		invites: map[string]chan vertoMessage{}, calls: map[string]func(vertoMessage){}, early: map[string]string{}, lost: make(chan struct{})}
	return s, nil
}

// login says who we are. The session is being read.
func (s *vertoSession) login(ctx context.Context, o VertoOptions) error {
	return s.request(ctx, "login", map[string]any{"login": o.Login, "passwd": o.Password, "sessid": s.id})
}

// read serves the session until it fails or ctx ends.
func (s *vertoSession) read(ctx context.Context) error {
	defer close(s.lost)
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("read websocket of mod_verto: %w", err)
		}
		var m vertoMessage
		if json.Unmarshal(data, &m) != nil {
			continue // not JSON-RPC: mod_verto's speed test
		}
		s.take(ctx, m)
	}
}

func (s *vertoSession) take(ctx context.Context, m vertoMessage) {
	if m.Method == "" {
		s.result(m)
		return
	}
	call := m.Params.CallID
	s.mu.Lock()
	waiting, hear := s.invites[call], s.calls[call]
	if m.Method == "verto.media" && (waiting != nil || hear != nil) {
		s.early[call] = m.Params.SDP
	}
	if m.Params.SDP == "" {
		m.Params.SDP = s.early[call] // an answer after early media has none
	}
	s.mu.Unlock()
	over := m.Method == "verto.bye"
	switch {
	case hear != nil:
		if over {
			s.forget(call)
		}
		hear(m)
	case waiting != nil && (over || m.Method == "verto.answer"):
		s.forget(call)
		waiting <- m // has room
	case over:
		s.ended(call)
	}
	if len(m.ID) > 0 {
		_ = s.send(ctx, map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": map[string]any{"method": m.Method}})
	}
}

func (s *vertoSession) result(m vertoMessage) {
	var id int64
	if json.Unmarshal(m.ID, &id) != nil {
		return
	}
	s.mu.Lock()
	reply := s.replies[id]
	delete(s.replies, id)
	s.mu.Unlock()
	if reply != nil {
		reply <- m // has room
	}
}

func (s *vertoSession) forget(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.invites, call)
	delete(s.calls, call)
	delete(s.early, call)
}

// send writes one message; the library lets several goroutines write.
func (s *vertoSession) send(ctx context.Context, m any) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, data)
}

// request sends a request and waits until it has been taken.
func (s *vertoSession) request(ctx context.Context, method string, params map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	reply := make(chan vertoMessage, 1)
	s.mu.Lock()
	s.count++
	id := s.count
	s.replies[id] = reply
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.replies, id)
		s.mu.Unlock()
	}()
	if err := s.send(ctx, map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-reply:
		return vertoError(method, m)
	case <-s.lost:
		return fmt.Errorf("%s: %w", method, errVertoLost)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

var errVertoLost = errors.New("websocket of mod_verto was lost")

// vertoError returns the error that a reply carries. Codes: mod_verto.h, -32001 for a login that fails, -32601 for a
// method the user may not call.
func vertoError(method string, m vertoMessage) error {
	switch {
	case m.Error == nil:
		return nil
	case method == "login" && m.Error.Code != -32601:
		return fmt.Errorf("%w: %s", errVertoLogin, m.Error.Message)
	case m.Error.Code == -32601:
		return fmt.Errorf("%w %s: %s", errVertoMethod, method, m.Error.Message)
	}
	return fmt.Errorf("%s: %s (%d)", method, m.Error.Message, m.Error.Code)
}

// invitation is a leg to be opened. Its channel gets call for its uuid.
type invitation struct {
	call, extension, sdp string
	caller               display
}

// invite asks for a leg; what becomes of it is told by later messages.
func (s *vertoSession) invite(ctx context.Context, i invitation) error {
	return s.request(ctx, "verto.invite", map[string]any{"sessid": s.id, "sdp": i.sdp, "dialogParams": map[string]any{
		"callID": i.call, "destination_number": i.extension, "caller_id_name": i.caller.name, "caller_id_number": i.caller.number,
		"ani": i.caller.number, "recoverCall": false,
	}})
}

// call asks for a leg and lets hear have every message about it, the last of which is verto.bye. An answer that comes
// after early media gets the session description of that. hear must not block.
func (s *vertoSession) call(ctx context.Context, i invitation, hear func(vertoMessage)) error {
	s.mu.Lock()
	s.calls[i.call] = hear
	s.mu.Unlock()
	return s.invite(ctx, i)
}

// open opens a leg to an extension that answers, and returns the SDP of the answer.
func (s *vertoSession) open(ctx context.Context, i invitation) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	answer := make(chan vertoMessage, 1)
	s.mu.Lock()
	s.invites[i.call] = answer
	s.mu.Unlock()
	defer s.forget(i.call)
	if err := s.invite(ctx, i); err != nil {
		return "", err
	}
	select {
	case m := <-answer:
		if m.Method == "verto.bye" {
			return "", &legRefusedError{i.extension, m.Params.Cause}
		}
		return m.Params.SDP, nil
	case <-s.lost:
		return "", fmt.Errorf("verto.invite: %w", errVertoLost)
	case <-ctx.Done():
		return "", fmt.Errorf("verto.invite: no answer of extension %s: %w", i.extension, ctx.Err())
	}
}

// legRefusedError is a leg that FreeSWITCH ended instead of answering it.
type legRefusedError struct{ extension, cause string }

func (e *legRefusedError) Error() string {
	return fmt.Sprintf("mod_verto refuses a leg to extension %s: %s", e.extension, e.cause)
}

// bye ends a leg; one that is gone is no error.
func (s *vertoSession) bye(ctx context.Context, call string) error {
	return s.request(ctx, "verto.bye", map[string]any{"sessid": s.id, "dialogParams": map[string]any{"callID": call}})
}

// watch asks for a sign of life until ctx ends or an answer is overdue, which it returns as an error. A ping of the
// WebSocket itself is not answered by FreeSWITCH 1.10.
func (s *vertoSession) watch(ctx context.Context, interval time.Duration) error {
	for pbx.Sleep(ctx, interval) {
		if err := s.request(ctx, "verto.ping", map[string]any{"sessid": s.id}); err != nil && ctx.Err() == nil {
			return fmt.Errorf("mod_verto gives no sign of life within %v: %w", s.limit, err)
		}
	}
	return nil
}

// close ends the session at once.
func (s *vertoSession) close() { _ = s.conn.CloseNow() }
