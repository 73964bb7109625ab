package mtserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/proto"
	"github.com/gotd/td/proto/codec"
)

const (
	queueFrames  = 2048             // packets waiting for a slow client before it is cut off
	greetTimeout = 20 * time.Second // for the transport header
	proveTimeout = 90 * time.Second // until the first packet that a key opens
	partTimeout  = 30 * time.Second // for the rest of a packet that has begun
	writeTimeout = 15 * time.Second
)

// outFrame is a packet or a quick acknowledgement on its way out.
type outFrame struct {
	data  []byte
	quick uint32
}

// conn is one TCP connection. Its reader carries queries out one after the other, its writer empties the queue.
type conn struct {
	srv    *Server
	net    net.Conn
	number uint64 // newer connections have larger ones
	log    *slog.Logger
	out    chan outFrame
	once   sync.Once

	// Of the reader only.
	hand     *handshake
	sessions map[*Session]bool
	proven   bool
	cutAt    time.Time // ping_delay_disconnect; zero: not asked for
}

// close cuts the connection. It may be called often and from anywhere, also with a session's mu held.
func (c *conn) close() {
	c.once.Do(func() { _ = c.net.Close() })
}

// send queues a packet and never blocks: a client that does not read is cut off.
func (c *conn) send(frame []byte) { c.enqueue(outFrame{data: frame}) }

func (c *conn) enqueue(f outFrame) {
	select {
	case c.out <- f:
	default:
		c.log.Warn("client does not read, cut off")
		c.close()
	}
}

func (c *conn) serve(ctx context.Context) {
	defer c.close()
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	if err := c.net.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return
	}
	l, err := open(c.net)
	if err != nil {
		c.log.Debug("connection refused", "err", err)
		return
	}
	var writer sync.WaitGroup
	writer.Go(func() { c.write(l) })
	err = c.read(ctx, l)
	for s := range c.sessions {
		s.detach(c)
	}
	c.sayWhy(err)
	close(c.out)
	writer.Wait()
}

// sayWhy logs the end of a connection and, if the client is to be told, queues the transport error.
func (c *conn) sayWhy(err error) {
	var code *codeError
	var timeout net.Error
	switch {
	case errors.As(err, &code):
		c.log.Info("connection refused", "code", code.code, "err", err)
		c.sendCode(code.code)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.As(err, &timeout):
		c.log.Debug("connection ended", "err", err)
	default:
		c.log.Info("connection ended", "err", err)
	}
}

func (c *conn) sendCode(code int32) {
	c.send(binary.LittleEndian.AppendUint32(nil, uint32(-code)))
}

// write sends what is queued, in batches. It ends when the queue is closed, or at the first error.
func (c *conn) write(l *link) {
	defer c.close()
	broken := false
	for f := range c.out {
		if broken {
			continue // so that nobody waits on a full queue
		}
		if err := c.writeOne(l, f); err != nil {
			c.log.Debug("write", "err", err)
			broken = true
			c.close()
		}
	}
}

func (c *conn) writeOne(l *link, f outFrame) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if f.data == nil {
		if err := l.writeQuickAck(f.quick); err != nil {
			return err
		}
	} else if err := l.write(f.data); err != nil {
		return err
	}
	if len(c.out) > 0 {
		return nil
	}
	return l.flush()
}

func (c *conn) read(ctx context.Context, l *link) error {
	prove := time.Now().Add(proveTimeout)
	for {
		idle := time.Now().Add(c.srv.opts.Idle)
		if !c.proven {
			idle = prove
		} else if !c.cutAt.IsZero() {
			idle = c.cutAt
		}
		frame, quick, err := l.read(idle, partTimeout)
		if err != nil {
			return err
		}
		if err := c.packet(ctx, frame, quick); err != nil {
			return err
		}
	}
}

// packet takes one packet: of a handshake when its key id is zero, else encrypted.
func (c *conn) packet(ctx context.Context, frame []byte, quick bool) error {
	if len(frame) < 24 { // a packet of 4 bytes is an error or a keep-alive of the transport
		if len(frame) == 4 {
			return nil
		}
		return fmt.Errorf("accept packet of %d bytes: %w", len(frame), errFrame)
	}
	id := int64(binary.LittleEndian.Uint64(frame))
	if id == 0 {
		return c.clear(ctx, frame)
	}
	key, ok := c.srv.handler.Key(id)
	if !ok || key.Temporary() && time.Now().After(key.Expires) {
		// The connection stays: the client may make a new key on it.
		c.log.Debug("unknown key")
		c.sendCode(codec.CodeAuthKeyNotFound)
		return nil
	}
	var m crypto.EncryptedMessage
	if err := m.DecodeWithoutCopy(&bin.Buffer{Buf: frame}); err != nil {
		return err
	}
	m.EncryptedData = m.EncryptedData[:len(m.EncryptedData)&^15] // padded transports add bytes
	data, err := c.srv.cipher.Decrypt(key.AuthKey, &m)
	if err != nil {
		return &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("decrypt packet: %w", err)}
	}
	c.proven = true
	if quick {
		c.enqueue(outFrame{quick: key.quickAck(data)})
	}
	return c.message(ctx, key, data)
}

// clear takes a packet of a handshake. The msg_id does not matter: the connection check of official clients has 1.
func (c *conn) clear(ctx context.Context, frame []byte) error {
	var m proto.UnencryptedMessage
	if err := m.Decode(&bin.Buffer{Buf: frame}); err != nil {
		return fmt.Errorf("read clear message: %w", err)
	}
	if c.hand == nil {
		h, err := newHandshake(c.srv.opts.Key, c.srv.opts.DC)
		if err != nil {
			return err
		}
		c.hand = h
	}
	answer, key, err := c.hand.step(m.MessageData)
	if err != nil || answer == nil {
		return err
	}
	if key != nil {
		if err := c.srv.handler.NewKey(key); err != nil {
			return fmt.Errorf("keep new key: %w", err)
		}
		c.log.Debug("key made", "temporary", key.Temporary())
	}
	var b, out bin.Buffer
	if err := b.Encode(answer); err != nil {
		return err
	}
	if err := out.Encode(proto.UnencryptedMessage{MessageID: c.srv.ids.New(proto.MessageServerResponse), MessageData: b.Buf}); err != nil {
		return err
	}
	c.send(out.Buf)
	return ctx.Err()
}
