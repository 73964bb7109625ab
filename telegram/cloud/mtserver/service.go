package mtserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/tgerr"
)

// msgResendAnsReq#8610baeb msg_ids:Vector<long> is not among gotd's types.
const msgResendAnsReqTypeID = 0x8610baeb

// Codes of bad_msg_notification beside those of checkID.
const (
	badTooOld    = 20
	badSalt      = 48
	badContainer = 64
)

// message takes a decrypted packet.
func (c *conn) message(ctx context.Context, key *Key, data *crypto.EncryptedMessageData) error {
	now := time.Now()
	s := c.srv.session(key, data.SessionID)
	if s == nil {
		return &codeError{429, errors.New("too many sessions")}
	}
	c.sessions[s] = true
	s.attach(c)
	whole := message{id: data.MessageID, seq: data.SeqNo, body: data.Data()}
	if code := checkID(whole.id, now); code != 0 {
		return s.bad(whole, code)
	}
	if !key.goodSalt(data.Salt, now) {
		return s.notify(proto.MessageFromServer, &mt.BadServerSalt{
			BadMsgID: whole.id, BadMsgSeqno: int(whole.seq), ErrorCode: badSalt, NewServerSalt: key.currentSalt(now),
		})
	}
	parts, err := split(whole)
	if err != nil {
		c.log.Info("message refused", "err", err)
		return s.bad(whole, badContainer)
	}
	if err := s.begin(lowest(whole.id, parts)); err != nil {
		return err
	}
	if len(parts) != 1 || parts[0].id != whole.id {
		s.receive(whole.id, false) // the container's own id, for msgs_state_req
	}
	for _, m := range parts {
		if err := c.part(ctx, s, m); err != nil {
			return err
		}
	}
	return nil
}

// lowest msg_id of a packet: queries with smaller ones would be sent again by the client.
func lowest(id int64, parts []message) int64 {
	for _, m := range parts {
		id = min(id, m.id)
	}
	return id
}

func (s *Session) bad(m message, code int) error {
	return s.notify(proto.MessageFromServer, &mt.BadMsgNotification{BadMsgID: m.id, BadMsgSeqno: int(m.seq), ErrorCode: code})
}

// part takes one message. Whatever is wrong with it, the connection stays.
func (c *conn) part(ctx context.Context, s *Session, m message) error {
	id, err := (&bin.Buffer{Buf: m.body}).PeekID()
	if err != nil {
		return s.bad(m, badContainer)
	}
	serve, isService := services[id]
	switch s.receive(m.id, !isService) {
	case tooOld:
		return s.bad(m, badTooOld)
	case repeated:
		if !isService {
			s.repeat(m.id)
			return nil
		}
	}
	if !isService {
		return c.query(ctx, s, m)
	}
	if err := serve(c, s, m, &bin.Buffer{Buf: m.body}); err != nil {
		c.log.Info("service message refused", "err", err)
		return s.bad(m, badContainer)
	}
	s.finish(m.id, nil, false)
	return nil
}

// query unwraps a query and has it carried out.
func (c *conn) query(ctx context.Context, s *Session, m message) error {
	call := &Call{Session: s, MsgID: m.id, log: c.log}
	q, err := Unwrap(m.body)
	switch {
	case err != nil:
		c.log.Info("query refused", "err", err)
		call.Reply(nil, tgerr.New(400, "INPUT_REQUEST_INVALID"))
	case s.waiting(q.After):
		call.Reply(nil, tgerr.New(400, "MSG_WAIT_FAILED"))
	default:
		call.Query = q
		c.srv.handler.Invoke(ctx, call)
		if !call.postponed {
			call.Reply(nil, errors.New("query was not answered"))
		}
	}
	return nil
}

// Postpone leaves the query open when the handler, which calls it, returns: its Reply comes later, from one goroutine. As
// Telegram does with what takes a while, the client is told that the query has come: it must not send it again.
func (c *Call) Postpone() {
	c.postponed = true
	if err := c.Session.notify(proto.MessageFromServer, &mt.MsgsAck{MsgIDs: []int64{c.MsgID}}); err != nil {
		c.log.Error("encode msgs_ack", "err", err)
	}
}

// Reply queues the answer: a result, or an error that becomes rpc_error (500 unless it is a *tgerr.Error). What is pushed
// afterwards arrives after it. Only the first reply counts.
func (c *Call) Reply(result bin.Encoder, err error) {
	if c.replied {
		return
	}
	c.replied = true
	var b bin.Buffer
	if err == nil {
		err = encodeResult(&b, c.MsgID, result)
	}
	if err != nil {
		var e *tgerr.Error
		if !errors.As(err, &e) {
			c.log.Warn("query failed", "err", err)
			e = tgerr.New(500, "INTERNAL")
		}
		b.Reset()
		if err := encodeResult(&b, c.MsgID, &mt.RPCError{ErrorCode: e.Code, ErrorMessage: e.Message}); err != nil {
			c.log.Error("encode rpc_error", "err", err)
		}
	}
	c.Session.finish(c.MsgID, b.Buf, err != nil)
}

func encodeResult(b *bin.Buffer, query int64, result bin.Encoder) error {
	var inner bin.Buffer
	if result == nil {
		return errors.New("no result")
	}
	if err := result.Encode(&inner); err != nil {
		return err
	}
	return b.Encode(&proto.Result{RequestMessageID: query, Result: inner.Buf})
}

type service func(c *conn, s *Session, m message, b *bin.Buffer) error

// services are the messages that MTProto itself understands.
var services = map[uint32]service{
	mt.PingRequestTypeID:                servePing,
	mt.PingDelayDisconnectRequestTypeID: servePingDelay,
	mt.GetFutureSaltsRequestTypeID:      serveFutureSalts,
	mt.MsgsAckTypeID:                    serveAck,
	mt.MsgsStateReqTypeID:               serveStateReq,
	mt.MsgResendReqTypeID:               serveResend,
	msgResendAnsReqTypeID:               serveResendAnswers,
	mt.RPCDropAnswerRequestTypeID:       serveDrop,
	mt.DestroySessionRequestTypeID:      serveDestroy,
	mt.HTTPWaitRequestTypeID:            serveNothing, // meant for HTTP
	mt.MsgsStateInfoTypeID:              serveNothing, // we ask for no states
	mt.MsgsAllInfoTypeID:                serveNothing, // they may be told unasked
	mt.MsgDetailedInfoTypeID:            serveNothing,
	mt.MsgNewDetailedInfoTypeID:         serveNothing,
	mt.BadMsgNotificationTypeID:         serveNothing,
}

func serveNothing(*conn, *Session, message, *bin.Buffer) error { return nil }

func servePing(_ *conn, s *Session, m message, b *bin.Buffer) error {
	var req mt.PingRequest
	if err := req.Decode(b); err != nil {
		return err
	}
	return s.notify(proto.MessageServerResponse, &mt.Pong{MsgID: m.id, PingID: req.PingID})
}

func servePingDelay(c *conn, s *Session, m message, b *bin.Buffer) error {
	var req mt.PingDelayDisconnectRequest
	if err := req.Decode(b); err != nil {
		return err
	}
	delay := min(max(time.Duration(req.DisconnectDelay)*time.Second, 0), c.srv.opts.Idle)
	c.cutAt = time.Now().Add(delay)
	return s.notify(proto.MessageServerResponse, &mt.Pong{MsgID: m.id, PingID: req.PingID})
}

func serveFutureSalts(_ *conn, s *Session, m message, b *bin.Buffer) error {
	var req mt.GetFutureSaltsRequest
	if err := req.Decode(b); err != nil {
		return err
	}
	now := time.Now()
	return s.notify(proto.MessageServerResponse, &mt.FutureSalts{
		ReqMsgID: m.id, Now: int(now.Unix()), Salts: s.key.futureSalts(min(max(req.Num, 1), 64), now),
	})
}

func serveAck(_ *conn, s *Session, _ message, b *bin.Buffer) error {
	var req mt.MsgsAck
	if err := req.Decode(b); err != nil {
		return err
	}
	s.acked(req.MsgIDs)
	return nil
}

func serveStateReq(_ *conn, s *Session, m message, b *bin.Buffer) error {
	var req mt.MsgsStateReq
	if err := req.Decode(b); err != nil {
		return err
	}
	return s.notify(proto.MessageServerResponse, &mt.MsgsStateInfo{ReqMsgID: m.id, Info: s.states(req.MsgIDs)})
}

func serveResend(_ *conn, s *Session, _ message, b *bin.Buffer) error {
	var req mt.MsgResendReq
	if err := req.Decode(b); err != nil {
		return err
	}
	s.resendSent(req.MsgIDs)
	return nil
}

func serveResendAnswers(_ *conn, s *Session, _ message, b *bin.Buffer) error {
	if err := b.ConsumeID(msgResendAnsReqTypeID); err != nil {
		return err
	}
	n, err := b.VectorHeader()
	if err != nil {
		return err
	}
	if n < 0 || n > b.Len()/8 {
		return fmt.Errorf("read vector of %d: %w", n, errFrame)
	}
	ids := make([]int64, n)
	for i := range ids {
		if ids[i], err = b.Long(); err != nil {
			return err
		}
	}
	s.resendSent(ids)
	return nil
}

func serveDrop(_ *conn, s *Session, m message, b *bin.Buffer) error {
	var req mt.RPCDropAnswerRequest
	if err := req.Decode(b); err != nil {
		return err
	}
	var out bin.Buffer
	if err := encodeResult(&out, m.id, s.drop(req.ReqMsgID)); err != nil {
		return err
	}
	s.finish(m.id, out.Buf, false)
	return nil
}

func serveDestroy(c *conn, s *Session, _ message, b *bin.Buffer) error {
	var req mt.DestroySessionRequest
	if err := req.Decode(b); err != nil {
		return err
	}
	if req.SessionID != s.id && c.srv.destroy(s.key, req.SessionID) {
		return s.notify(proto.MessageServerResponse, &mt.DestroySessionOk{SessionID: req.SessionID})
	}
	return s.notify(proto.MessageServerResponse, &mt.DestroySessionNone{SessionID: req.SessionID})
}
