package esl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// streamSocket returns a socket to a server that lets it in, sends a stream in pieces of at most size bytes, and hangs up.
// served returns when the server has ended.
func streamSocket(t testing.TB, stream []byte, size int, counts *frameCounts) (s *socket, served func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "Content-Type: auth/request\n\n")
		in := bufio.NewReader(conn)
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "auth ") {
			return
		}
		// What follows the answer to the password at once must not be lost.
		_, _ = io.WriteString(conn, "Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := conn.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	s, err = dialSocket(t.Context(), listener.Addr().String(), "ClueCon", 5*time.Second, counts)
	if err != nil {
		t.Fatal(err)
	}
	return s, func() { <-done; _ = listener.Close() }
}

// heardFrom lets a socket, library included, read what a server sends, in pieces of at most size bytes, and returns the
// messages. The server's end is the end of the stream.
func heardFrom(t testing.TB, stream []byte, size int, counts *frameCounts) []message {
	t.Helper()
	s, served := streamSocket(t, stream, size, counts)
	defer served()
	var all []message
	if err := s.read(func(m message) { all = append(all, m) }); err == nil {
		t.Error("the end of the stream is no error")
	}
	return all
}

const sentinel = "Content-Type: text/event-json\nContent-Length: 25\n\n{\"Event-Name\":\"SENTINEL\"}\n"

// TestFramesSurvive: none of the frames that panic the library, or make it hang up, does so, and what follows arrives.
func TestFramesSurvive(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, c := range []struct{ name, frame, want string }{
		{"bare error", "Content-Type: command/reply\nReply-Text: -ERR\n\n", "-ERR"},
		{"short error", "Content-Type: command/reply\nReply-Text: -ERR \n\n", "-ERR"},
		{"error", "Content-Type: command/reply\nReply-Text: -ERR command not found\n\n", "-ERR command not found"},
		{"error with signs", "Content-Type: command/reply\nReply-Text: -ERR 100%+1 %zz\n\n", "-ERR 100%+1 %zz"},
		{"plus sign", "Content-Type: command/reply\nReply-Text: +OK a+b\n\n", "+OK a+b"},
		{"bare error of an api", "Content-Type: api/response\nContent-Length: 4\n\n-ERR", "body:-ERR"},
		{"error in the middle", "Content-Type: api/response\nContent-Length: 9\n\nx -ERR y\n", "body:x -ERR y\n"},
		{"empty body", "Content-Type: api/response\nContent-Length: 0\n\n", "body:"},
		{"negative length", "Content-Type: command/reply\nContent-Length: -5\nReply-Text: +OK\n\n", "+OK"},
		{"no number", "Content-Type: command/reply\nContent-Length: many\nReply-Text: +OK\n\n", "+OK"},
		{"length that overflows", "Content-Type: command/reply\nContent-Length: 99999999999999999999\nReply-Text: +OK\n\n", "+OK"},
		{"log line", "Content-Type: log/data\nContent-Length: 3\nLog-Level: 7\n\nabc", ""},
		{"xml event", "Content-Type: text/event-xml\nContent-Length: 4\n\n<a/>", ""},
		{"nothing known", "Content-Type: a/b\n\n", ""},
		{"no type", "Some: thing\n\n", ""},
		{"no header at all", "garbage\nmore: of it\n\n", ""},
		{"empty lines", "\n\n\r\n\n", ""},
		{"broken event", "Content-Type: text/event-json\nContent-Length: 5\n\n{\"a\":", ""},
		{"event of null", "Content-Type: text/event-json\nContent-Length: 4\n\nnull", ""},
		{"event that is a list", "Content-Type: text/event-json\nContent-Length: 2\n\n[]", ""},
		{"carriage returns", "Content-Type: command/reply\r\nReply-Text: +OK\r\n\r\n", "+OK"},
		{"strange header names", "Content-Type: command/reply\nReply-Text: +OK\nüb er: x\n: y\n\n", "+OK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := heardFrom(t, []byte(c.frame+sentinel), 7, &frameCounts{})
			if len(got) == 0 || got[len(got)-1].header["Event-Name"] != "SENTINEL" {
				t.Fatalf("what follows does not arrive: %+v", got)
			}
			got = got[:len(got)-1]
			if c.want == "" {
				if len(got) != 0 {
					t.Errorf("got %+v, want it dropped", got)
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d messages: %+v", len(got), got)
			}
			text := got[0].header["Reply-Text"]
			if body, is := strings.CutPrefix(c.want, "body:"); is {
				c.want, text = body, got[0].body
			}
			if strings.TrimRight(text, " ") != c.want {
				t.Errorf("got %q, want %q", text, c.want)
			}
		})
	}
}

// TestHugeFrame: a frame too long to keep is passed over.
func TestHugeFrame(t *testing.T) {
	huge := fmt.Sprintf("Content-Type: text/event-json\nContent-Length: %d\n\n", maxFrameBody+1) + strings.Repeat("x", maxFrameBody+1)
	counts := &frameCounts{}
	got := heardFrom(t, []byte(huge+sentinel), 1<<20, counts)
	if len(got) != 1 || got[0].header["Event-Name"] != "SENTINEL" || counts.malformed.Load() == 0 {
		t.Errorf("%d messages, %d malformed", len(got), counts.malformed.Load())
	}
}

// TestEventsFlatten: both forms of an event become the same.
func TestEventsFlatten(t *testing.T) {
	plain := "Event-Name: CUSTOM\nvariable_a: ARRAY::one%7C:two\nvariable_b: a%25b%3Ac%2Bd%20%C3%A9\nContent-Length: 11\n\nhello\nworld"
	flat, ok := decodePlain([]byte(plain))
	if !ok || flat["variable_a"] != "ARRAY::one|:two" || flat["variable_b"] != "a%b:c+d é" || flat["_body"] != "hello\nworld" {
		t.Errorf("plain: %q", flat)
	}
	body := `{"Event-Name":"CUSTOM","variable_a":["one","two"],"n":5,"o":{"x":1},"_body":"hello\nworld"}`
	frame := fmt.Sprintf("Content-Type: text/event-json\nContent-Length: %d\n\n%s", len(body), body)
	got := heardFrom(t, []byte(frame), 3, &frameCounts{})
	if len(got) != 1 || got[0].header["variable_a"] != "ARRAY::one|:two" || got[0].header["n"] != "5" ||
		got[0].header["o"] != `{"x":1}` || got[0].body != "hello\nworld" {
		t.Errorf("json: %+v", got)
	}
}

// TestLogin: what goes wrong at the door is told apart, and no error holds the password.
func TestLogin(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, c := range []struct {
		name, hello, answer string
		want                error
	}{
		{"wrong password", "Content-Type: auth/request\n\n", "Content-Type: command/reply\nReply-Text: -ERR invalid\n\n", errPassword},
		{"access list", "Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n", "", errRejected},
		{"silence", "", "", errTimeout},
		{"silence after the password", "Content-Type: auth/request\n\n", "", errTimeout},
		{"a web server", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "", errTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			quit := make(chan struct{})
			served := make(chan struct{})
			go func() {
				defer close(served)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, c.hello)
				if c.answer != "" {
					_, _ = bufio.NewReader(conn).ReadString('\n')
					_, _ = io.WriteString(conn, c.answer)
				}
				<-quit
			}()
			_, err = dialSocket(t.Context(), listener.Addr().String(), "geheim-4711", 300*time.Millisecond, &frameCounts{})
			close(quit)
			<-served
			switch {
			case err == nil:
				t.Fatal("no error")
			case strings.Contains(err.Error(), "geheim"):
				t.Errorf("the password is in %q", err)
			case c.want == errTimeout:
				if !strings.Contains(err.Error(), "deadline") {
					t.Errorf("error %v", err)
				}
			case !errors.Is(err, c.want):
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

var errTimeout = errors.New("timeout")

func FuzzSDP(f *testing.F) {
	f.Add("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 30320 RTP/AVP 97 101\r\na=rtpmap:97 opus/48000/2\r\n")
	f.Add("m=audio 1 RTP/AVP 96\r\nc=IN IP6 ::1\r\na=rtpmap:96 L16/16000/1\r\n")
	f.Fuzz(func(t *testing.T, sdp string) {
		for _, codec := range []string{CodecL16, CodecOpus, CodecPCMU} {
			a, err := parseAnswer(sdp, (MediaOptions{Codec: codec}).wanted(""))
			if err == nil && (!a.remote.IsValid() || a.remote.Port() == 0 || a.payload > 127) {
				t.Errorf("%q: %+v", sdp, a)
			}
		}
	})
}

func FuzzCleanText(f *testing.F) {
	f.Add("O'Neill, ${x} {a=b}", 20)
	f.Add("é\u202e\x00;\n李", 3)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 300)
		clean := cleanText(s, limit)
		if len(clean) > limit || strings.ContainsAny(clean, "\"'`,;|&<>(){}[]$\\^=\r\n\t\x00") || clean != cleanText(clean, limit) {
			t.Errorf("%q becomes %q", s, clean)
		}
		if _, err := command("originate", clean); err != nil {
			t.Errorf("%q: %v", clean, err)
		}
	})
}
