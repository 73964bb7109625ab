package esl

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// unpacked returns a file of the transcripts.
func unpacked(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "transcripts", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// scenarios returns the names of all transcripts of connections that we opened, and that were let in.
func scenarios(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/transcripts/*.in.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".in.txt.gz")
		if !strings.HasPrefix(name, "outbound_") && name != "auth_fail" && name != "acl_rude_rejection" {
			names = append(names, name)
		}
	}
	if len(names) < 35 {
		t.Fatalf("only %d transcripts", len(names))
	}
	return names
}

// afterLogin cuts off what was said up to the answer to the password.
func afterLogin(t testing.TB, in []byte) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(in, []byte("+OK accepted\n\n"))
	if !ok {
		t.Fatal("no login in the transcript")
	}
	return rest
}

// TestTranscriptsAreRead: however a recorded stream is cut into pieces, the library gets every frame of it.
func TestTranscriptsAreRead(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, name := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			stream := afterLogin(t, unpacked(t, name+".in.txt"))
			wantEvents := bytes.Count(stream, []byte("Content-Type: text/event-plain")) + bytes.Count(stream, []byte("Content-Type: text/event-json"))
			wantReplies := bytes.Count(stream, []byte("Content-Type: command/reply")) + bytes.Count(stream, []byte("Content-Type: api/response"))
			var bodies []string
			for _, f := range divide(t, stream) {
				if f.event != nil {
					bodies = append(bodies, f.event["_body"])
				}
			}
			for _, size := range []int{1 << 20, 997, 61} {
				counts := &frameCounts{}
				events, replies := 0, 0
				for _, m := range heardFrom(t, stream, size, counts) {
					switch m.kind {
					case typeReply:
						replies++
					case typeEvent:
						if events < len(bodies) && m.body != bodies[events] {
							t.Errorf("body of event %d: %q, want %q", events+1, m.body, bodies[events])
						}
						events++
						if e := newEvent(m.header); e.name == "" || (strings.HasPrefix(e.name, "CHANNEL_") && e.name != "CHANNEL_DATA" && e.id == "") {
							t.Errorf("event without name or channel: %v", m.header)
						}
					}
				}
				if events != wantEvents || replies != wantReplies || counts.malformed.Load() != 0 {
					t.Errorf("in pieces of %d: %d events of %d, %d replies of %d, %d malformed", size, events, wantEvents, replies,
						wantReplies, counts.malformed.Load())
				}
			}
		})
	}
}

// turn is one step of a transcript: bytes that the server sends, or waits for.
type turn struct {
	send bool
	data []byte
	at   time.Duration // since the connection's beginning
}

func turns(t testing.TB, name string) []turn {
	t.Helper()
	in, out := unpacked(t, name+".in.txt"), unpacked(t, name+".out.txt")
	var all []turn
	decoder := json.NewDecoder(bytes.NewReader(unpacked(t, name+".idx.jsonl")))
	for {
		var line struct {
			Dir          string
			Off, Len, Ms int
		}
		if err := decoder.Decode(&line); err == io.EOF {
			return causal(all)
		} else if err != nil {
			t.Fatal(err)
		}
		source := out
		if line.Dir == "in" {
			source = in
		}
		all = append(all, turn{line.Dir == "in", source[line.Off : line.Off+line.Len], time.Duration(line.Ms) * time.Millisecond})
	}
}

// causal puts questions before their answers: the recorder may have noted a read before the write that it answers.
func causal(all []turn) []turn {
	asked, answered := 0, 0
	for i := range all {
		for all[i].send {
			answers := bytes.Count(all[i].data, []byte("Content-Type: command/reply")) + bytes.Count(all[i].data, []byte("Content-Type: api/response"))
			next := slices.IndexFunc(all[i:], func(t turn) bool { return !t.send })
			if answered+answers <= asked || next < 0 {
				answered += answers
				break
			}
			question := all[i+next]
			all = slices.Insert(slices.Delete(all, i+next, i+next+1), i, question)
		}
		if !all[i].send {
			asked += bytes.Count(all[i].data, []byte("\n\n"))
		}
	}
	return all
}

// questions returns the commands of a transcript, but for the password.
func questions(script []turn) []string {
	var out bytes.Buffer
	for _, t := range script {
		if !t.send {
			out.Write(t.data)
		}
	}
	var all []string
	for _, q := range strings.Split(strings.TrimSuffix(out.String(), "\n\n"), "\n\n") {
		switch {
		case q == "" || strings.HasPrefix(q, "auth "):
		case strings.HasPrefix(q, "hello\nworld"):
			all[len(all)-1] += "\n\n" + q // the body of a sendevent
		default:
			all = append(all, q)
		}
	}
	return all
}

// TestJobsOfTranscripts: what the jobs of recorded calls said means what the house table says.
func TestJobsOfTranscripts(t *testing.T) {
	for name, want := range map[string]bridge.Reason{
		"orig_busy": bridge.Busy, "orig_rejected": bridge.Declined, "orig_notfound": bridge.NoRoute, "orig_503": bridge.Failure,
		"orig_noanswer": bridge.NoAnswer, "orig_timeout_noresponse": bridge.Failure, "orig_user_not_registered": bridge.Unreachable,
		"orig_no_gateway": bridge.NoRoute, "orig_cancel_by_uuid_kill": bridge.Cancelled,
	} {
		found := 0
		for _, m := range heardFrom(t, afterLogin(t, unpacked(t, name+".in.txt")), 1<<16, &frameCounts{}) {
			if m.header["Event-Name"] != "BACKGROUND_JOB" {
				continue
			}
			found++
			if got := failedDial(m.body).Reason; got != want {
				t.Errorf("%s: %q is %v, want %v", name, m.body, got, want)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d jobs", name, found)
		}
	}
}

// TestListingOfTranscript: channels are found in a recorded listing.
func TestListingOfTranscript(t *testing.T) {
	for _, m := range heardFrom(t, afterLogin(t, unpacked(t, "readopt_show_dump.in.txt")), 1<<16, &frameCounts{}) {
		var listing struct{ Rows []row }
		if m.kind == typeReply && strings.HasPrefix(m.body, `{"row_count"`) && json.Unmarshal([]byte(m.body), &listing) == nil {
			if len(listing.Rows) == 2 && listing.Rows[0].ID == "e1bdfd5a-69d7-4aaa-8aff-b8711441a226" && !listing.Rows[0].parked() {
				return
			}
		}
	}
	t.Error("no listing with two channels")
}

// TestVertoTranscript: the answers of recorded calls are understood.
func TestVertoTranscript(t *testing.T) {
	decoder := json.NewDecoder(bytes.NewReader(unpacked(t, "verto_direct_calls.jsonl")))
	answers, causes := 0, ""
	for {
		var line struct {
			Dir string
			Msg vertoMessage
		}
		if err := decoder.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if line.Dir != "in" {
			continue
		}
		if line.Msg.Method == "verto.bye" {
			causes += line.Msg.Params.Cause + " "
		}
		if line.Msg.Params.SDP != "" {
			answers++
			a, err := parseAnswer(line.Msg.Params.SDP, (MediaOptions{Codec: CodecOpus}).wanted(""))
			if err != nil || a.payload != 97 || !a.remote.Addr().IsLoopback() {
				t.Errorf("%+v, %v", a, err)
			}
		}
	}
	if answers != 2 || causes != "USER_BUSY CALL_REJECTED NO_ROUTE_DESTINATION " {
		t.Errorf("%d answers, causes %s", answers, causes)
	}
}
