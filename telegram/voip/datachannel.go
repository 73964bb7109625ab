package voip

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/sctp"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

const (
	channelLabel   = "data"
	channelMessage = 2048    // bytes; media states have some 150, longer messages are dropped
	channelLongest = 262_144 // bytes; the engines send no longer ones, and where one comes the channel is given up
)

// dataChannel is the text channel inside DTLS over which engines tell their media state. Its failure never harms the
// call.
type dataChannel struct {
	role   Role
	stream uint16 // of the channel when we open it
	log    *slog.Logger
	take   func(message []byte) // text messages of the peer
	open   func()               // the channel can be written to

	mu      sync.Mutex
	channel *datachannel.DataChannel
}

// run keeps the channel until it fails, and then discards what comes, so that DTLS itself goes on. It returns when
// conn is closed.
func (d *dataChannel) run(conn net.Conn) {
	if err := d.serve(&keptConn{Conn: conn}); err != nil {
		d.log.Debug("data channel is gone", "error", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	b := make([]byte, channelMessage)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

func (d *dataChannel) serve(conn net.Conn) error {
	logs := pionLogs{d.log}
	// Both engines send INIT; either one's is answered.
	association, err := sctp.ClientWithOptions(sctp.WithNetConn(conn), sctp.WithLoggerFactory(logs))
	if err != nil {
		return fmt.Errorf("open sctp association: %w", err)
	}
	defer func() { _ = association.Close() }()
	channel, err := d.connect(association, logs)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.channel = channel
	d.mu.Unlock()
	defer d.drop()
	d.open()
	return d.read(channel)
}

// read takes messages until the channel ends. One that does not fit its buffer is still there, and must be read away.
func (d *dataChannel) read(channel *datachannel.DataChannel) error {
	short := make([]byte, channelMessage)
	b := short
	for {
		n, text, err := channel.ReadDataChannel(b)
		if errors.Is(err, io.ErrShortBuffer) && len(b) < channelLongest {
			b = make([]byte, channelLongest)
			continue
		}
		if err != nil {
			return fmt.Errorf("read data channel: %w", err)
		}
		if text && n <= channelMessage {
			d.take(append([]byte(nil), b[:n]...))
		}
		b = short
	}
}

// connect opens the channel as caller and accepts it as callee.
func (d *dataChannel) connect(a *sctp.Association, logs pionLogs) (*datachannel.DataChannel, error) {
	c := &datachannel.Config{ChannelType: datachannel.ChannelTypeReliable, Label: channelLabel, LoggerFactory: logs}
	if d.role == signaling.Caller {
		channel, err := datachannel.Dial(a, d.stream, c)
		if err != nil {
			return nil, fmt.Errorf("open data channel: %w", err)
		}
		return channel, nil
	}
	channel, err := datachannel.Accept(a, &datachannel.Config{LoggerFactory: logs})
	if err != nil {
		return nil, fmt.Errorf("accept data channel: %w", err)
	}
	return channel, nil
}

func (d *dataChannel) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.channel = nil
}

// send writes a text message; false while the channel is not open.
func (d *dataChannel) send(message []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.channel == nil {
		return false
	}
	_, err := d.channel.WriteDataChannel(message, true)
	return err == nil
}

// keptConn is the DTLS connection as SCTP sees it: SCTP may end without ending DTLS.
type keptConn struct {
	net.Conn
	once sync.Once
}

// Close implements net.Conn: it only wakes up whoever reads.
func (c *keptConn) Close() error {
	c.once.Do(func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	return nil
}
