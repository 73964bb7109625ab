package cloud

import (
	"context"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// request is a query in the hands of its method. The method runs with Server.mu held and must not block.
type request struct {
	*Server
	call *mtserver.Call
	dev  *device  // never nil
	me   *account // nil only in methods that are open to everybody
}

// method is one API method.
type method struct {
	name string // TL name, as "auth.sendCode"
	open bool   // may be called without being logged in
	run  func(*request, *bin.Buffer) (bin.Encoder, error)
}

type methods map[uint32]method

// query is a TL request of gotd's.
type query[T any] interface {
	*T
	bin.Decoder
	TypeID() uint32
	TypeName() string
}

// on adds a method for those who are logged in.
func on[T any, Q query[T]](m methods, f func(*request, Q) (bin.Encoder, error)) {
	add(m, false, f)
}

// onOpen adds a method for everybody.
func onOpen[T any, Q query[T]](m methods, f func(*request, Q) (bin.Encoder, error)) {
	add(m, true, f)
}

func add[T any, Q query[T]](m methods, open bool, f func(*request, Q) (bin.Encoder, error)) {
	q := Q(new(T))
	m[q.TypeID()] = method{name: q.TypeName(), open: open, run: func(r *request, b *bin.Buffer) (bin.Encoder, error) {
		q := Q(new(T))
		if err := q.Decode(b); err != nil {
			return nil, fail(400, "INPUT_FETCH_ERROR")
		}
		if b.Len() > 0 {
			return nil, fail(400, "INPUT_REQUEST_TOO_LONG")
		}
		return f(r, q)
	}}
}

// fail makes the error a client gets as rpc_error.
func fail(code int, text string) error { return tgerr.New(code, text) }

func yes() (bin.Encoder, error) { return &tg.BoolTrue{}, nil }

func (s *Server) methods() methods {
	m := methods{}
	addAuth(m)
	addPassword(m)
	addQR(m)
	addAccount(m)
	addHelp(m)
	addContacts(m)
	addMessages(m)
	addUpdates(m)
	addCalls(m)
	return m
}

// Invoke implements mtserver.Handler. The answer and what the query has pushed leave under one hold of the lock, the answer
// first: clients are not made for news of a call that overtakes the answer before it, and order is kept for everybody.
func (s *Server) Invoke(_ context.Context, call *mtserver.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = true
	result, err := s.invoke(call)
	s.reply(call, result, err)
	s.hold = false
	for _, p := range s.held {
		s.tell(p.to, p.update)
	}
	s.held = nil
}

// parcel is an update on its way to a session.
type parcel struct {
	to     *mtserver.Session
	update bin.Encoder
}

func (s *Server) invoke(call *mtserver.Call) (bin.Encoder, error) {
	b := &bin.Buffer{Buf: call.Body}
	id, err := b.PeekID()
	if err != nil {
		return nil, fail(400, "INPUT_METHOD_INVALID")
	}
	if id == tg.AuthBindTempAuthKeyRequestTypeID {
		return s.bindTempKey(call, b)
	}
	d := s.keys.device(call.Session.Key())
	if d == nil {
		return nil, fail(401, "AUTH_KEY_PERM_EMPTY")
	}
	if err := s.noteClient(d, call); err != nil {
		return nil, err
	}
	m, known := s.table[id]
	if !known {
		s.log.Debug("unknown method", "id", id)
		return nil, fail(400, "INPUT_METHOD_INVALID")
	}
	r := &request{Server: s, call: call, dev: d, me: d.user}
	if r.me != nil {
		r.me.fate.queries[m.name]++
	}
	result, err := r.run(m, b)
	s.see(Query{Method: m.name, At: s.now(), Err: err}, r.me)
	s.log.Debug("query", "method", m.name, "err", err)
	return result, err
}

// run carries out a query that may be made now.
func (r *request) run(m method, b *bin.Buffer) (bin.Encoder, error) {
	if err := r.admit(m); err != nil {
		return nil, err
	}
	return m.run(r, b)
}

// see tells whoever watches.
func (s *Server) see(q Query, by *account) {
	if s.watch == nil {
		return
	}
	if by != nil {
		q.User = by.ID
	}
	q.Wait, _ = tgerr.AsFloodWait(q.Err)
	s.watch(q)
}

// noteClient remembers the session and what the client says of itself.
func (s *Server) noteClient(d *device, call *mtserver.Call) error {
	d.sessions[call.Session], d.last, d.active = true, call.Session, s.now()
	if call.Init == nil {
		if d.rec.App == nil {
			return fail(400, "CONNECTION_NOT_INITED")
		}
		return nil
	}
	if call.Init.APIID <= 0 {
		return fail(400, "API_ID_INVALID")
	}
	if call.Layer != tg.Layer && (d.rec.App == nil || d.rec.App.Layer != call.Layer) {
		s.log.Info("client of another layer", "layer", call.Layer, "own", tg.Layer, "device", call.Init.DeviceModel)
	}
	app := App{APIID: call.Init.APIID, Layer: call.Layer, Device: call.Init.DeviceModel, System: call.Init.SystemVersion, Version: call.Init.AppVersion}
	if d.rec.App == nil || *d.rec.App != app {
		d.rec.App = &app
		s.saveDevice(d)
	}
	return nil
}

// admit says whether a method may be called now.
func (r *request) admit(m method) error {
	if err := r.doom(m.name); err != nil {
		return err
	}
	switch {
	case r.me != nil || m.open:
		return nil
	case r.dev.pending != nil:
		return fail(401, "SESSION_PASSWORD_NEEDED")
	}
	return fail(401, "AUTH_KEY_UNREGISTERED")
}

// doom takes the failure that Control has prepared for this query.
func (r *request) doom(name string) error {
	failures := &r.anybody.failures
	if r.me != nil {
		failures = &r.me.fate.failures
	}
	for i, f := range *failures {
		if f.method == "" || f.method == name {
			*failures = append((*failures)[:i:i], (*failures)[i+1:]...)
			return f.err
		}
	}
	return nil
}

// bindTempKey carries out auth.bindTempAuthKey, https://core.telegram.org/method/auth.bindTempAuthKey.
func (s *Server) bindTempKey(call *mtserver.Call, b *bin.Buffer) (bin.Encoder, error) {
	var q tg.AuthBindTempAuthKeyRequest
	if err := q.Decode(b); err != nil {
		return nil, fail(400, "INPUT_FETCH_ERROR")
	}
	temp := call.Session.Key()
	if !temp.Temporary() {
		return nil, fail(400, "TEMP_AUTH_KEY_EMPTY")
	}
	perm, ok := s.keys.find(q.PermAuthKeyID)
	if !ok || perm.Temporary() {
		return nil, fail(400, "ENCRYPTED_MESSAGE_INVALID")
	}
	inner, msgID, err := mtserver.OpenBinding(perm.AuthKey, q.EncryptedMessage)
	if err != nil || msgID != call.MsgID || inner.Nonce != q.Nonce || inner.PermAuthKeyID != q.PermAuthKeyID ||
		inner.TempAuthKeyID != temp.IntID() || inner.TempSessionID != call.Session.ID() || inner.ExpiresAt != q.ExpiresAt {
		return nil, fail(400, "ENCRYPTED_MESSAGE_INVALID")
	}
	if now := s.now(); int64(q.ExpiresAt) <= now.Unix() || time.Unix(int64(q.ExpiresAt), 0).Sub(temp.Expires) > time.Minute {
		return nil, fail(400, "EXPIRES_AT_INVALID")
	}
	if old := s.keys.device(temp); old != nil && old.key != perm {
		return nil, fail(400, "TEMP_AUTH_KEY_ALREADY_BOUND")
	}
	if err := s.keys.bind(temp.IntID(), perm.IntID()); err != nil {
		return nil, err
	}
	return yes()
}
