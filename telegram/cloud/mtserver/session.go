package mtserver

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto"
)

const (
	keepSent     = 1000                                // messages kept for a client that does not acknowledge
	keepSentSize = 8 << 20                             // bytes of them
	keepSeen     = 4096                                // queries remembered, so that none is carried out twice
	staleMessage = 200 * time.Second                   // clients refuse messages made more than 300 s ago
	sessionLife  = 15 * time.Minute                    // without a connection
	future, past = 30 * time.Second, 300 * time.Second // how far a client's msg_id may be off
)

// Session is what a client calls by session_id under a key. It outlives its connections: what was sent and not
// acknowledged is sent again on the next one.
type Session struct {
	id  int64
	key *Key
	srv *Server

	mu      sync.Mutex
	conn    *conn // the newest; nil: none
	lostAt  time.Time
	begun   bool        // new_session_created was sent
	content int32       // content messages sent, for seq_no
	sent    []*outgoing // not acknowledged
	bytes   int         // of sent
	came    history
}

// history is what a session remembers of the messages that came.
type history struct {
	seen  map[int64]*incoming
	order []int64 // keys of seen as they came
	floor int64   // the largest msg_id that was forgotten
}

// outgoing is a message that the client has not acknowledged.
type outgoing struct {
	id      int64
	seq     int32
	body    []byte
	made    time.Time
	on      *conn // where it was sent last
	answers int64 // msg_id of the query; 0: an update
}

// incoming is a message that came.
type incoming struct {
	done   bool
	failed bool
	query  bool
	answer int64 // msg_id of the answer
	acked  bool  // the client has the answer
}

// ID is the client's session_id.
func (s *Session) ID() int64 { return s.id }

// Key is what the session is encrypted with.
func (s *Session) Key() *Key { return s.key }

// Connected says whether there is a connection now.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// Disconnect cuts the session's connection; false when there is none.
func (s *Session) Disconnect() bool {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if c == nil {
		return false
	}
	c.close()
	return true
}

// Push sends an update. Without a connection it waits for the next one.
func (s *Session) Push(update bin.Encoder) error {
	var b bin.Buffer
	if err := update.Encode(&b); err != nil {
		return fmt.Errorf("encode update: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendContent(proto.MessageFromServer, b.Buf, 0)
	return nil
}

// attach makes c the session's connection. Messages that went out on an older one are sent again.
func (s *Session) attach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c || s.conn != nil && s.conn.number > c.number {
		return
	}
	if s.conn == nil {
		s.srv.linked(s, true)
	}
	s.conn = c
	for _, m := range s.sent {
		s.resend(m)
	}
}

func (s *Session) detach(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == c {
		s.conn, s.lostAt = nil, time.Now()
		s.srv.linked(s, false)
	}
}

func (s *Session) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && now.Sub(s.lostAt) > sessionLife
}

// sendContent sends a message that the client must acknowledge. Called with mu held.
func (s *Session) sendContent(t proto.MessageType, body []byte, answers int64) int64 {
	m := &outgoing{id: s.srv.ids.New(t), seq: s.content*2 + 1, body: body, made: time.Now(), answers: answers}
	s.content++
	s.sent = append(s.sent, m)
	s.bytes += len(body)
	for len(s.sent) > keepSent || s.bytes > keepSentSize && len(s.sent) > 1 {
		s.bytes -= len(s.sent[0].body)
		s.sent = s.sent[1:]
	}
	s.transmit(m)
	return m.id
}

// sendService sends a message that is not acknowledged. Called with mu held.
func (s *Session) sendService(t proto.MessageType, msg bin.Encoder) error {
	var b bin.Buffer
	if err := msg.Encode(&b); err != nil {
		return fmt.Errorf("encode service message: %w", err)
	}
	s.transmit(&outgoing{id: s.srv.ids.New(t), seq: s.content * 2, body: b.Buf})
	return nil
}

// resend sends a message again on the session's connection, with a new id when clients would find the old one too old.
// Called with mu held.
func (s *Session) resend(m *outgoing) {
	if time.Since(m.made) > staleMessage {
		t := proto.MessageFromServer
		if m.answers != 0 {
			t = proto.MessageServerResponse
		}
		m.id, m.seq, m.made = s.srv.ids.New(t), s.content*2+1, time.Now()
		s.content++
		if in := s.came.seen[m.answers]; in != nil {
			in.answer = m.id
		}
	}
	s.transmit(m)
}

// transmit encrypts and queues. Called with mu held, so that messages leave in the order of their ids.
func (s *Session) transmit(m *outgoing) {
	if s.conn == nil {
		return
	}
	var b bin.Buffer
	data := crypto.EncryptedMessageData{
		Salt: s.key.currentSalt(time.Now()), SessionID: s.id, MessageID: m.id, SeqNo: m.seq,
		MessageDataLen: int32(len(m.body)), MessageDataWithPadding: m.body,
	}
	if err := s.srv.cipher.Encrypt(s.key.AuthKey, data, &b); err != nil {
		s.conn.log.Error("encrypt message", "err", err)
		s.conn.close()
		return
	}
	m.on = s.conn
	s.conn.send(b.Buf)
}

// receive notes a message; the verdict is what to do with it.
func (s *Session) receive(id int64, query bool) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in := s.came.seen[id]; in != nil {
		return repeated
	}
	if id <= s.came.floor {
		return tooOld
	}
	s.came.seen[id] = &incoming{query: query}
	s.came.order = append(s.came.order, id)
	if len(s.came.order) > keepSeen {
		gone := s.came.order[0]
		s.came.order = s.came.order[1:]
		s.came.floor = max(s.came.floor, gone)
		delete(s.came.seen, gone)
	}
	return fresh
}

type verdict uint8

const (
	fresh    verdict = iota
	repeated         // known: answer again, do not carry out again
	tooOld           // so old that it may have been carried out
)

// finish notes that a message was dealt with and, for a query, sends its answer.
func (s *Session) finish(id int64, answer []byte, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.came.seen[id]
	if in == nil { // forgotten meanwhile
		in = &incoming{}
	}
	in.done, in.failed = true, failed
	if answer != nil {
		in.answer = s.sendContent(proto.MessageServerResponse, answer, id)
	}
}

// repeat sends the answer of a query once more, if there is one and the client has not acknowledged it.
func (s *Session) repeat(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sent {
		if m.answers == id && m.on != nil {
			s.resend(m)
		}
	}
}

// acked forgets what the client has.
func (s *Session) acked(ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[int64]bool, len(ids))
	for _, id := range ids {
		known[id] = true
	}
	s.sent = slices.DeleteFunc(s.sent, func(m *outgoing) bool {
		if !known[m.id] {
			return false
		}
		s.bytes -= len(m.body)
		if in := s.came.seen[m.answers]; in != nil {
			in.acked = true
		}
		return true
	})
}

// waiting says whether one of the messages a query waits for (invokeAfterMsg) has failed.
func (s *Session) waiting(after []int64) (failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(after, func(id int64) bool {
		in := s.came.seen[id]
		return in != nil && in.failed
	})
}

// drop carries out rpc_drop_answer.
func (s *Session) drop(query int64) bin.Encoder {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.came.seen[query]
	switch {
	case in == nil || in.acked:
		return &mt.RPCAnswerUnknown{}
	case !in.done:
		return &mt.RPCAnswerDroppedRunning{}
	}
	for i, m := range s.sent {
		if m.answers == query {
			s.bytes -= len(m.body)
			s.sent = slices.Delete(s.sent, i, i+1)
			return &mt.RPCAnswerDropped{MsgID: m.id, SeqNo: int(m.seq), Bytes: len(m.body)}
		}
	}
	return &mt.RPCAnswerUnknown{}
}

// States of msgs_state_info, https://core.telegram.org/mtproto/service_messages_about_messages.
const (
	stateForgotten = 1  // so old that nothing is known
	stateMissing   = 2  // did not come
	stateFuture    = 3  // larger than all that came
	stateReceived  = 4  // came
	stateRunning   = 32 // a query that is being carried out
	stateAnswered  = 64 // a query whose answer was made
	stateKnown     = 128
)

func (s *Session) states(ids []int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.came.floor
	for _, id := range s.came.order {
		newest = max(newest, id)
	}
	info := make([]byte, 0, len(ids))
	for _, id := range ids {
		in, state := s.came.seen[id], byte(stateReceived)
		switch {
		case in == nil && id <= s.came.floor:
			state = stateForgotten
		case in == nil && id > newest:
			state = stateFuture
		case in == nil:
			state = stateMissing
		case in.query && !in.done:
			state |= stateRunning
		case in.answer != 0:
			state |= stateAnswered
			if in.acked {
				state |= stateKnown
			}
		}
		info = append(info, state)
	}
	return info
}

// resendSent answers msg_resend_req: messages of ours by their ids, or by the ids of the queries they answer.
func (s *Session) resendSent(ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.sent {
		if slices.Contains(ids, m.id) || m.answers != 0 && slices.Contains(ids, m.answers) {
			s.resend(m)
		}
	}
}

// begin tells the client, once, that the session is new; it sends queries with ids below first again.
func (s *Session) begin(first int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return nil
	}
	s.begun = true
	var unique [8]byte
	if _, err := rand.Read(unique[:]); err != nil {
		return fmt.Errorf("generate unique id: %w", err)
	}
	var b bin.Buffer
	if err := b.Encode(&mt.NewSessionCreated{
		FirstMsgID: first, UniqueID: int64(binary.LittleEndian.Uint64(unique[:])), ServerSalt: s.key.currentSalt(time.Now()),
	}); err != nil {
		return fmt.Errorf("encode new_session_created: %w", err)
	}
	s.sendContent(proto.MessageFromServer, b.Buf, 0)
	return nil
}

// notify sends a service message.
func (s *Session) notify(t proto.MessageType, msg bin.Encoder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendService(t, msg)
}

// checkID says what is wrong with a msg_id: a code of bad_msg_notification, or 0.
func checkID(id int64, now time.Time) int {
	made := time.Unix(id>>32, (id&0xffffffff)*1e9>>32)
	switch {
	case id%4 != 0:
		return 18
	case made.Before(now.Add(-past)):
		return 16
	case made.After(now.Add(future)):
		return 17
	}
	return 0
}

// LocalAddr is the address the client connected to; invalid without a connection.
func (s *Session) LocalAddr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		return netip.AddrPort{}
	}
	if a, ok := s.conn.net.LocalAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}
