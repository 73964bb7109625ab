package reflector

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	patience   = 10 * time.Second // for the first packet on TCP, and for a receiver that takes nothing
	queueSize  = 64               // packets waiting for a TCP connection
	forgetting = 4                // how often in the idle time silent legs are looked for
)

// Run serves until ctx ends, and returns nil then. Nothing outlives it; a Server runs once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.log.Info("reflector runs", "addr", s.Addr())
	var group sync.WaitGroup
	var failure [2]error
	group.Go(func() { failure[0] = s.serveUDP(); cancel() })
	group.Go(func() { failure[1] = s.serveTCP(ctx, &group); cancel() })
	group.Go(func() {
		tick := time.NewTicker(max(s.opts.Idle/forgetting, time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				s.forget(now)
			case <-ctx.Done():
				s.Close()
				return
			}
		}
	})
	group.Wait()
	return errors.Join(failure[0], failure[1])
}

func (s *Server) serveUDP() error {
	const row = 64
	buf := make([]byte, maxPacket)
	for failed := 0; ; {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			if failed++; failed == row {
				return fmt.Errorf("read from reflector's socket: %w", err)
			}
		default:
			failed = 0
			if s.opts.NoUDP {
				s.counts.lost.Add(1)
				continue
			}
			s.take(buf[:n], from, nil)
		}
	}
}

func (s *Server) serveTCP(ctx context.Context, group *sync.WaitGroup) error {
	for {
		conn, err := s.tcp.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("accept reflector's client: %w", err)
		case s.connections.Load() >= int64(s.opts.Connections):
			_ = conn.Close()
			continue
		}
		s.connections.Add(1)
		group.Go(func() {
			defer s.connections.Add(-1)
			if err := s.serve(ctx, conn); err != nil {
				s.log.Debug("reflector's client leaves", "addr", conn.RemoteAddr(), "err", err)
			}
		})
	}
}

// connection is one client over TCP.
type connection struct {
	conn  net.Conn
	queue chan []byte
}

// put queues a copy of a packet; a full queue drops it.
func (k *connection) put(b []byte) bool {
	select {
	case k.queue <- frame(b):
		return true
	default:
		return false
	}
}

func (k *connection) close() { _ = k.conn.Close() }

// serve carries one client over TCP until it leaves, is silent or says something wrong.
func (s *Server) serve(ctx context.Context, conn net.Conn) error {
	k := &connection{conn: conn, queue: make(chan []byte, queueSize)}
	defer context.AfterFunc(ctx, k.close)()
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { k.write(done) })
	defer writer.Wait()
	defer close(done)
	defer k.close()
	defer s.leave(k)
	from := remoteOf(conn)
	in := bufio.NewReaderSize(conn, maxPacket+frameHead)
	_ = conn.SetReadDeadline(time.Now().Add(min(patience, s.opts.Idle)))
	var head [len(opening)]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return err
	}
	if string(head[:]) != opening {
		s.counts.strange.Add(1)
		return fmt.Errorf("%w: unknown opening", errWire)
	}
	buf := make([]byte, maxPacket)
	for {
		n, err := readFrame(in, buf)
		if err != nil {
			return err
		}
		if !s.take(buf[:n], from, k) {
			return fmt.Errorf("%w: or of nobody we know", errWire)
		}
		_ = conn.SetReadDeadline(time.Now().Add(s.opts.Idle))
	}
}

func remoteOf(conn net.Conn) netip.AddrPort {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return a.AddrPort()
}

func (k *connection) write(done <-chan struct{}) {
	for {
		select {
		case b := <-k.queue:
			_ = k.conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := k.conn.Write(b); err != nil {
				k.close()
				return
			}
		case <-done:
			return
		}
	}
}
