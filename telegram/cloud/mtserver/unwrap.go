package mtserver

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/tg"
)

const (
	maxInflated = 4 << 20 // bytes a query may inflate to, over all its layers
	maxNesting  = 12      // wrappers around one query
)

var (
	errTooDeep  = errors.New("query is wrapped too often")
	errInflated = errors.New("query inflates to too much")
)

// Init is what a client tells of itself in initConnection.
type Init struct {
	APIID         int
	DeviceModel   string
	SystemVersion string
	AppVersion    string
	LangCode      string
}

// Query is an API query without its wrappers.
type Query struct {
	Body      []byte  // starts with the method's id; shares memory with the packet
	Layer     int     // of invokeWithLayer; 0: none
	Init      *Init   // of initConnection; nil: none
	NoUpdates bool    // invokeWithoutUpdates
	After     []int64 // msg_ids of invokeAfterMsg and invokeAfterMsgs
}

// Unwrap takes the wrappers off a query, in whatever order they come.
func Unwrap(body []byte) (Query, error) {
	q := Query{Body: body}
	left := maxInflated
	for range maxNesting {
		id, err := (&bin.Buffer{Buf: q.Body}).PeekID()
		if err != nil {
			return Query{}, fmt.Errorf("read method: %w", err)
		}
		more, err := q.unwrap(id, &left)
		if err != nil || !more {
			return q, err
		}
	}
	return Query{}, errTooDeep
}

// rest takes what a wrapper wraps.
type rest struct{ body []byte }

func (r *rest) Decode(b *bin.Buffer) error   { r.body, b.Buf = b.Buf, nil; return nil }
func (r *rest) Encode(b *bin.Buffer) error   { b.Put(r.body); return nil }
func (r *rest) TypeID() uint32               { return 0 }
func (r *rest) TypeName() string             { return "query" }
func (r *rest) Zero() bool                   { return len(r.body) == 0 }
func (r *rest) String() string               { return "query" }
func (r *rest) FillFrom(any)                 {}
func (r *rest) EncodeBare(*bin.Buffer) error { return nil }

// unwrap takes one wrapper off; false when the query is bare.
func (q *Query) unwrap(id uint32, left *int) (bool, error) {
	var inner rest
	b := &bin.Buffer{Buf: q.Body}
	switch id {
	case tg.InvokeWithLayerRequestTypeID:
		w := tg.InvokeWithLayerRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
		q.Layer = w.Layer
	case tg.InitConnectionRequestTypeID:
		w := tg.InitConnectionRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
		q.Init = &Init{APIID: w.APIID, DeviceModel: w.DeviceModel, SystemVersion: w.SystemVersion, AppVersion: w.AppVersion, LangCode: w.LangCode}
	case tg.InvokeWithoutUpdatesRequestTypeID:
		w := tg.InvokeWithoutUpdatesRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
		q.NoUpdates = true
	case tg.InvokeAfterMsgRequestTypeID:
		w := tg.InvokeAfterMsgRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
		q.After = append(q.After, w.MsgID)
	case tg.InvokeAfterMsgsRequestTypeID:
		w := tg.InvokeAfterMsgsRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
		q.After = append(q.After, w.MsgIDs...)
	case tg.InvokeWithMessagesRangeRequestTypeID:
		w := tg.InvokeWithMessagesRangeRequest{Query: &inner}
		if err := w.Decode(b); err != nil {
			return false, err
		}
	case mt.GzipPackedTypeID:
		body, err := inflate(b, left)
		if err != nil {
			return false, err
		}
		inner.body = body
	default:
		return false, nil
	}
	q.Body = inner.body
	return true, nil
}

// packed opens gzip_packed. Official clients send a zlib stream (RFC 1950) where the documentation says gzip (RFC 1952);
// Telegram takes both.
func packed(b *bin.Buffer) (io.ReadCloser, error) {
	if err := b.ConsumeID(mt.GzipPackedTypeID); err != nil {
		return nil, err
	}
	data, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("read gzip_packed: %w", err)
	}
	if len(data) > 1 && data[0] == 0x1f && data[1] == 0x8b {
		return gzip.NewReader(bytes.NewReader(data))
	}
	return zlib.NewReader(bytes.NewReader(data))
}

// inflate unpacks gzip_packed; left is how many bytes it may still come to.
func inflate(b *bin.Buffer, left *int) ([]byte, error) {
	r, err := packed(b)
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(r, int64(*left)+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	if len(out) > *left {
		return nil, errInflated
	}
	*left -= len(out)
	return out, nil
}

// packsContainer says whether a gzip_packed has a container in it.
func packsContainer(body []byte) bool {
	r, err := packed(&bin.Buffer{Buf: body})
	if err != nil {
		return false
	}
	var head [4]byte
	_, err = io.ReadFull(r, head[:])
	_ = r.Close() // nothing was written
	return err == nil && binary.LittleEndian.Uint32(head[:]) == mt.MsgContainerTypeID
}

// message is one message of a packet.
type message struct {
	id   int64
	seq  int32
	body []byte
}

// split takes a packet's message apart: a container gives its messages, anything else itself. Containers do not nest.
func split(m message) ([]message, error) {
	b := &bin.Buffer{Buf: m.body}
	id, err := b.PeekID()
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if id == mt.GzipPackedTypeID && packsContainer(m.body) {
		left := maxInflated
		body, err := inflate(b, &left)
		if err != nil {
			return nil, err
		}
		return container(&bin.Buffer{Buf: body})
	}
	if id != mt.MsgContainerTypeID {
		return []message{m}, nil
	}
	return container(b)
}

func container(b *bin.Buffer) ([]message, error) {
	if err := b.ConsumeID(mt.MsgContainerTypeID); err != nil {
		return nil, err
	}
	n, err := b.Int()
	if err != nil || n < 0 || n > 1020 { // the documented limit
		return nil, fmt.Errorf("read container of %d messages: %w", n, errors.Join(err, errFrame))
	}
	all := make([]message, 0, n)
	for range n {
		var m message
		var size int
		id, err := b.Long()
		if err != nil {
			return nil, fmt.Errorf("read container: %w", err)
		}
		seq, err := b.Int32()
		if err != nil {
			return nil, fmt.Errorf("read container: %w", err)
		}
		if size, err = b.Int(); err != nil || size < 4 || size%4 != 0 || size > b.Len() {
			return nil, fmt.Errorf("read container: message of %d bytes: %w", size, errors.Join(err, errFrame))
		}
		m.id, m.seq, m.body = id, seq, b.Buf[:size:size]
		b.Skip(size)
		all = append(all, m)
	}
	return all, nil
}
