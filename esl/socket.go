package esl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/0x19/goesl"
	logging "github.com/op/go-logging"
)

// socket is the one room of the library. Its commands take whatever message comes next for their answer, its server
// ends the process on SIGTERM, and its log prints passwords: none of them is used.
type socket struct {
	client *goesl.Client
	write  sync.Mutex // one command at a time
	limit  time.Duration
	idle   sync.WaitGroup // the library's reader
}

// message is one message in plain words, without the library's types.
type message struct {
	kind   string            // content type: typeReply, typeEvent or typeDisconnect
	header map[string]string // of an event: all its members
	body   string
}

// quiet silences the library's log, which is a global of another library.
var quiet = sync.OnceFunc(func() { logging.SetLevel(logging.CRITICAL, "goesl") })

// dialSocket connects and logs in, each within limit. No error holds the password.
func dialSocket(ctx context.Context, address, password string, limit time.Duration, counts *frameCounts) (*socket, error) {
	quiet()
	s := &socket{limit: limit, client: &goesl.Client{
		Proto: "tcp", Addr: address, Passwd: password, Timeout: int((limit + time.Second - 1) / time.Second)}}
	if err := s.client.EstablishConnection(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	raw := s.client.Conn
	// The library waits without a deadline of its own.
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	seen := &errorKeeper{Conn: newFrameConn(raw, counts)}
	s.client.Conn = seen
	err := s.client.Authenticate()
	if err == nil && stop() {
		s.client.Conn = seen.Conn
		return s, nil
	}
	_ = raw.Close()
	switch {
	case errors.Is(seen.err, errRejected):
		return nil, errRejected
	case ctx.Err() != nil:
		return nil, fmt.Errorf("log in: %w", ctx.Err())
	case seen.err != nil:
		return nil, fmt.Errorf("log in: %w", seen.err)
	}
	return nil, errPassword // the library's own text repeats the password
}

// errorKeeper remembers why the socket failed: the library hides it.
type errorKeeper struct {
	net.Conn
	err error
}

func (k *errorKeeper) Read(p []byte) (n int, err error) {
	if n, err = k.Conn.Read(p); err != nil {
		k.err = err
	}
	return n, err
}

func (k *errorKeeper) Write(p []byte) (n int, err error) {
	if n, err = k.Conn.Write(p); err != nil {
		k.err = err
	}
	return n, err
}

// read hands every message to handle until the connection fails, and says why. It is called once.
func (s *socket) read(handle func(message)) error {
	s.idle.Go(s.client.Handle)
	defer s.idle.Wait()
	for {
		m, err := s.client.ReadMessage()
		if err != nil {
			return fmt.Errorf("read event socket: %w", err)
		}
		handle(plainMessage(m))
	}
}

func plainMessage(m *goesl.Message) message {
	kind := m.Headers["Content-Type"]
	if m.Headers["Event-Name"] == "" && (kind == typeReply || kind == typeDisconnect) {
		header := make(map[string]string, len(m.Headers))
		for name, value := range m.Headers {
			header[name] = unescaped(value)
		}
		return message{kind: kind, header: header, body: header[headerBody]}
	}
	return message{kind: typeEvent, header: m.Headers, body: string(m.Body)}
}

// send writes one command, with LF line ends: FreeSWITCH overlooks headers behind CRLF. The caller has checked it.
func (s *socket) send(text string) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.client.SetWriteDeadline(time.Now().Add(s.limit)); err != nil {
		return err
	}
	_, err := s.client.Write([]byte(text + "\n\n"))
	return err
}

// close ends the connection at once; read returns.
func (s *socket) close() { _ = s.client.Conn.Close() }
