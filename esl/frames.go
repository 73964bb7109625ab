package esl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	maxFrameHeader = 64 << 10 // bytes of a frame's own header lines; FreeSWITCH sends a few dozen
	maxFrameBody   = 16 << 20 // bytes; a listing of a thousand channels is 1 MB
)

// The content types that are passed on to the library. Everything it cannot take is told in the first two.
const (
	typeReply      = "command/reply"
	typeEvent      = "text/event-json"
	typeAuth       = "auth/request"
	typeDisconnect = "text/disconnect-notice"
	typeRejection  = "text/rude-rejection" // never passed on: it is an error
)

// headerBody carries the body of a reply: the library scans a body for "-ERR" and dies of it, but unescapes headers.
const headerBody = "Tgtrunk-Body"

// errFrame says that the stream cannot be divided into frames any more.
var errFrame = errors.New("event socket sends no frames")

// errRejected is the answer of FreeSWITCH to an address that its access list does not name.
var errRejected = errors.New("freeswitch refuses our address")

// frame is one message of the event socket: header lines, and a body of Content-Length bytes.
// Format: FreeSWITCH mod_event_socket, "Header: value\n" lines, an empty line, the body.
type frame struct {
	header map[string]string // keys in canonical form
	body   []byte
}

// frameConn stands between the socket and the library. What is read from it is whole frames in the one form that the
// library reads without losing, dropping or panicking; one Read never crosses a frame's end, so that a reader that is
// thrown away takes nothing with it.
type frameConn struct {
	net.Conn
	in      *bufio.Reader
	pending []byte // rest of the frame in hand
	failed  error  // stays: a reader may ask again
	counts  *frameCounts
}

// frameCounts says what was not passed on. Safe for several goroutines.
type frameCounts struct {
	foreign   atomic.Uint64 // frames of types nobody here waits for, as log/data
	malformed atomic.Uint64 // frames that were not what they should be
}

func newFrameConn(c net.Conn, counts *frameCounts) *frameConn {
	return &frameConn{Conn: c, in: bufio.NewReaderSize(c, maxFrameHeader), counts: counts}
}

// Read returns bytes of at most one frame.
func (c *frameConn) Read(p []byte) (int, error) {
	for len(c.pending) == 0 {
		if c.failed != nil {
			return 0, c.failed
		}
		var f frame
		if f, c.failed = readFrame(c.in, c.counts); c.failed != nil {
			continue
		}
		if f.header["Content-Type"] == typeRejection {
			c.failed = errRejected
			continue
		}
		c.pending = f.forLibrary(c.counts)
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// readFrame reads one frame. Lines that are no header are dropped, and a length that is none means no body; a body that
// is too long to keep is skipped and its frame passed over. Only the socket's own end, or header lines without end, are
// errors.
func readFrame(in *bufio.Reader, counts *frameCounts) (frame, error) {
	for {
		header, err := readHeader(in, counts)
		if err != nil {
			return frame{}, err
		}
		if len(header) == 0 {
			continue // stray empty lines between frames
		}
		length, ok := contentLength(header)
		if !ok {
			counts.malformed.Add(1)
		}
		if length == 0 {
			return frame{header: header}, nil
		}
		if length > maxFrameBody {
			counts.malformed.Add(1)
			if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
				return frame{}, err
			}
			continue
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(in, body); err != nil {
			return frame{}, err
		}
		return frame{header, body}, nil
	}
}

// contentLength returns how long a frame's body is; 0 and false where the header says nonsense.
func contentLength(header map[string]string) (length int, ok bool) {
	text := header["Content-Length"]
	if text == "" {
		return 0, true
	}
	length, err := strconv.Atoi(text)
	if err != nil || length < 0 {
		return 0, false
	}
	return length, true
}

// readHeader reads lines up to an empty one.
func readHeader(in *bufio.Reader, counts *frameCounts) (map[string]string, error) {
	header := map[string]string{}
	for size := 0; ; {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("%w: a line of over %d bytes", errFrame, maxFrameHeader)
		}
		if err != nil {
			return nil, err
		}
		if size += len(line); size > maxFrameHeader {
			return nil, fmt.Errorf("%w: over %d bytes of header", errFrame, maxFrameHeader)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			return header, nil
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			counts.malformed.Add(1)
			continue
		}
		header[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
}

// forLibrary returns the frame in the form that the library takes, or nothing for one that is dropped.
func (f frame) forLibrary(counts *frameCounts) []byte {
	switch kind := f.header["Content-Type"]; kind {
	case typeAuth:
		return []byte("Content-Type: " + typeAuth + "\n\n")
	case typeReply, "api/response":
		return f.reply()
	case typeDisconnect:
		return f.notice()
	case typeEvent, "text/event-plain":
		body := f.event(kind)
		if body == nil {
			counts.malformed.Add(1)
			return nil
		}
		return append(fmt.Appendf(nil, "Content-Type: %s\nContent-Length: %d\n\n", typeEvent, len(body)), body...)
	case "":
		counts.malformed.Add(1)
		return nil
	default:
		counts.foreign.Add(1)
		return nil
	}
}

// reply hides every word from the library's scan: it unescapes what it hands out, and scans what is escaped. The text
// that says yes to a password is looked for literally and stays as it is.
func (f frame) reply() []byte {
	text := "Content-Type: " + typeReply + "\n"
	const accepted = "+OK accepted"
	for name, value := range f.header {
		switch {
		case name == "Content-Type" || name == "Content-Length" || !isToken(name):
		case value == accepted:
			text += name + ": " + value + "\n"
		default:
			text += name + ": " + escaped(value) + "\n"
		}
	}
	if len(f.body) > 0 {
		text += headerBody + ": " + escaped(string(f.body)) + "\n"
	}
	return []byte(text + "\n")
}

// escaped escapes as a query does, and the words of an error besides. The result is never empty and always escaped, or
// the library would leave a plus sign of the text as it is and one of the escaping too.
func escaped(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "-", "%2D") + "%20"
}

// unescaped undoes what escaped added.
func unescaped(s string) string { return strings.TrimSuffix(s, " ") }

func (f frame) notice() []byte {
	text := "Content-Type: " + typeDisconnect + "\n"
	if d := f.header["Content-Disposition"]; d != "" {
		text += "Content-Disposition: " + escaped(d) + "\n"
	}
	return []byte(text + headerBody + ": " + escaped(string(f.body)) + "\n\n")
}

// event returns the event as one JSON object of strings, nil where it is none.
func (f frame) event(kind string) []byte {
	if kind != typeEvent {
		flat, ok := decodePlain(f.body)
		if !ok {
			return nil
		}
		return encodeFlat(flat)
	}
	var decoded map[string]any
	if err := json.Unmarshal(f.body, &decoded); err != nil || decoded == nil {
		return nil
	}
	whole := true
	flat := make(map[string]string, len(decoded))
	for name, value := range decoded {
		text, ok := value.(string)
		if !ok {
			whole, text = false, flatten(value)
		}
		flat[name] = text
	}
	if whole {
		return f.body
	}
	return encodeFlat(flat)
}

// encodeFlat encodes what cannot fail to encode.
func encodeFlat(flat map[string]string) []byte {
	text, err := json.Marshal(flat)
	if err != nil {
		return nil
	}
	return text
}

// flatten writes an array as FreeSWITCH's plain events and variables do, ARRAY::a|:b, and anything else as JSON.
func flatten(value any) string {
	list, ok := value.([]any)
	if !ok {
		text, err := json.Marshal(value)
		if err != nil {
			return ""
		}
		return string(text)
	}
	parts := make([]string, len(list))
	for i, v := range list {
		if parts[i], ok = v.(string); !ok {
			parts[i] = flatten(v)
		}
	}
	return "ARRAY::" + strings.Join(parts, "|:")
}

// decodePlain reads a plain event: header lines with percent-encoded values, and perhaps a body of their own
// Content-Length.
func decodePlain(body []byte) (map[string]string, bool) {
	flat := map[string]string{}
	rest := string(body)
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			name, ok = strings.CutSuffix(line, ":")
		}
		if !ok || name == "" {
			return nil, false
		}
		if plain, err := url.PathUnescape(value); err == nil { // a plus sign is itself
			value = plain
		}
		flat[name] = value
	}
	if length, err := strconv.Atoi(flat["Content-Length"]); err == nil && length >= 0 {
		flat["_body"] = rest[:min(length, len(rest))]
	}
	return flat, len(flat) > 0
}

// isToken reports whether a header name is one that the library's reader takes.
func isToken(name string) bool {
	return name != "" && !slices.ContainsFunc([]byte(name), func(b byte) bool {
		return !isWord(rune(b)) && b != '-'
	})
}
