package esl

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// playedFor is how long a transcript takes at most, however long it took to record.
const playedFor = 100 * time.Millisecond

// manner is how a transcript is played.
type manner struct {
	cut  func(*rand.Rand, []byte) [][]byte // into writes
	wait func(*rand.Rand, time.Duration) time.Duration
}

var (
	// cuts are how what FreeSWITCH sent is cut into writes.
	cuts = map[string]func(*rand.Rand, []byte) [][]byte{
		"whole":    func(_ *rand.Rand, text []byte) [][]byte { return [][]byte{text} },
		"per line": func(_ *rand.Rand, text []byte) [][]byte { return bytes.SplitAfter(text, []byte("\n")) },
		"random": func(random *rand.Rand, text []byte) (pieces [][]byte) {
			for len(text) > 0 {
				n := 1 + random.IntN(min(len(text), 1<<random.IntN(12)))
				pieces, text = append(pieces, text[:n]), text[n:]
			}
			return pieces
		},
	}
	// paces are how long FreeSWITCH waits, where it waited for so long; nil: never, and what it said in several writes
	// becomes one.
	paces = map[string]func(*rand.Rand, time.Duration) time.Duration{
		"burst":    nil,
		"recorded": func(_ *rand.Rand, d time.Duration) time.Duration { return d },
		"jitter": func(random *rand.Rand, d time.Duration) time.Duration {
			return time.Duration(2*random.Float64()*float64(d)) + time.Duration(random.IntN(3))*time.Millisecond
		},
	}
)

// TestTranscriptsArePlayed: a server that says what FreeSWITCH said, however its bytes are cut and whenever they come, is
// asked what it was asked then; every question gets its own answer, and every event arrives as it was sent.
func TestTranscriptsArePlayed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("all", func(t *testing.T) {
		for _, name := range inboundNames(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				script, want := turns(t, name), expected(t, name)
				var playing sync.WaitGroup
				for cut := range cuts {
					for pace := range paces {
						seed := rand.Uint64()
						playing.Go(func() {
							if err := want.check(t.Context(), script, manner{cuts[cut], paces[pace]}, seed); err != nil {
								t.Errorf("%s, %s, seed %d: %v", cut, pace, seed, err)
							}
						})
					}
				}
				playing.Wait()
			})
		}
	})
}

// inboundNames returns the names of all transcripts of connections that we opened.
func inboundNames(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/transcripts/*.in.txt.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".in.txt.gz"); !strings.HasPrefix(name, "outbound_") {
			names = append(names, name)
		}
	}
	if len(names) < 40 {
		t.Fatalf("only %d transcripts", len(names))
	}
	return names
}

// heard is what one connection gives us.
type heard struct {
	password  string
	door      error // nil where we are let in
	questions []string
	answers   []string
	events    []map[string]string // but for the results of jobs, and without their bodies, which only those have a use for
	jobs      map[string]string   // these, by Job-UUID
	foreign   int                 // frames that are of no use
}

// expected is what a transcript says, read without the code under test.
func expected(t *testing.T, name string) heard {
	t.Helper()
	h := heard{password: "ClueCon", questions: questions(turns(t, name)), jobs: map[string]string{}}
	if name == "auth_fail" {
		h.password = "wrong"
	}
	for _, f := range divide(t, unpacked(t, name+".in.txt")) {
		switch kind := f.header["Content-Type"]; {
		case kind == "text/rude-rejection":
			h.door = errRejected
		case f.header["Reply-Text"] == "-ERR invalid":
			h.door = errPassword
		case f.header["Reply-Text"] == "+OK accepted" || kind == "auth/request" || kind == "text/disconnect-notice":
		case f.isReply() && f.header["Reply-Text"] != "":
			h.answers = append(h.answers, f.header["Reply-Text"])
		case f.isReply():
			h.answers = append(h.answers, f.body)
		case f.event["Event-Name"] == "BACKGROUND_JOB":
			h.jobs[f.event["Job-UUID"]] = strings.TrimRight(f.event["_body"], "\n")
		case f.event != nil:
			h.events = append(h.events, f.event)
		default:
			h.foreign++
		}
	}
	if h.door == nil && len(h.answers) > len(h.questions) {
		t.Fatalf("%d answers to %d questions", len(h.answers), len(h.questions))
	}
	return h
}

// check plays a transcript in one manner and says in what we hear something else.
func (h heard) check(ctx context.Context, script []turn, m manner, seed uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- m.play(ctx, listener, script, rand.New(rand.NewPCG(seed, 0))) }()
	got, err := h.ask(ctx, listener.Addr().String(), m.wait == nil)
	broken := <-served
	if h.door != nil {
		broken = nil // we do not hear it out
	}
	return errors.Join(err, h.compare(got), broken)
}

// ask asks the questions, one after the other or all at once, and returns what is heard until the server's end.
func (h heard) ask(ctx context.Context, address string, atOnce bool) (got heard, err error) {
	got.jobs = map[string]string{}
	counts := &frameCounts{}
	socket, err := dialSocket(ctx, address, h.password, 20*time.Second, counts)
	if err != nil {
		got.door = err
		return got, nil
	}
	defer socket.close()
	conn := newConnection(socket, 20*time.Second)
	for id := range h.jobs {
		conn.jobs[id] = func(r result) {
			if r.lost == nil {
				got.jobs[id] = r.text
			}
		}
	}
	read := make(chan error, 1)
	go func() { read <- conn.run(ctx, func(e event) { got.events = append(got.events, e.header) }) }()
	if atOnce {
		got.answers, err = conn.askAll(ctx, h.questions)
	} else {
		got.answers, err = conn.askEach(ctx, h.questions)
	}
	select {
	case end := <-read:
		if end == nil {
			err = errors.Join(err, errors.New("the end of the connection is no error"))
		}
	case <-ctx.Done():
		socket.close()
		<-read
		err = errors.Join(err, ctx.Err())
	}
	if n := counts.malformed.Load(); n != 0 {
		err = errors.Join(err, fmt.Errorf("%d malformed frames", n))
	}
	got.foreign = int(counts.foreign.Load())
	return got, err
}

// askEach asks each question when the one before is answered.
func (c *connection) askEach(ctx context.Context, questions []string) (answers []string, err error) {
	for _, question := range questions {
		answer, refused := c.ask(ctx, question)
		answers = append(answers, answer)
		var command *CommandError
		switch negative := strings.HasPrefix(answer, "-ERR") || strings.HasPrefix(answer, "-USAGE"); {
		case refused != nil && !errors.As(refused, &command):
			err = errors.Join(err, fmt.Errorf("%q: %w", question, refused))
		case negative != (refused != nil):
			err = errors.Join(err, fmt.Errorf("answer %q is taken as %w", answer, refused))
		}
	}
	return answers, err
}

// askAll asks without waiting for answers, as several calls do.
func (c *connection) askAll(ctx context.Context, questions []string) (answers []string, err error) {
	replies := make([]chan message, len(questions))
	for i, question := range questions {
		replies[i] = make(chan message, 1)
		if err := c.send(question, replies[i]); err != nil {
			return answers, err
		}
	}
	for _, reply := range replies {
		select {
		case m := <-reply:
			answer := m.header["Reply-Text"]
			if answer == "" {
				answer = m.body
			}
			answers = append(answers, answer)
		case <-ctx.Done():
			return answers, ctx.Err()
		}
	}
	return answers, nil
}

// compare says what differs.
func (h heard) compare(got heard) (err error) {
	differs := func(format string, values ...any) { err = errors.Join(err, fmt.Errorf(format, values...)) }
	if !errors.Is(got.door, h.door) {
		differs("at the door: %v, want %v", got.door, h.door)
	}
	if h.door != nil {
		return err
	}
	if len(got.answers) < len(h.answers) {
		differs("%d answers, want %d", len(got.answers), len(h.answers))
	}
	for i := range min(len(got.answers), len(h.answers)) {
		if g, want := got.answers[i], h.answers[i]; g != want {
			differs("answer %d of %d: %.300q, want %.300q", i+1, len(h.answers), g, want)
		}
	}
	if len(got.events) != len(h.events) || got.foreign != h.foreign {
		differs("%d events and %d frames of no use, want %d and %d", len(got.events), got.foreign, len(h.events), h.foreign)
	}
	for i := range min(len(got.events), len(h.events)) {
		for name := range maps.Keys(h.events[i]) {
			if g, want := got.events[i][name], h.events[i][name]; g != want && name != "Content-Length" && name != "_body" {
				differs("%s of event %d, %s: %.300q, want %.300q", name, i+1, h.events[i]["Event-Name"], g, want)
			}
		}
		for name := range maps.Keys(got.events[i]) {
			if _, is := h.events[i][name]; !is && name != "Content-Type" && name != "Content-Length" {
				differs("event %d, %s, has a %s: %.300q", i+1, h.events[i]["Event-Name"], name, got.events[i][name])
			}
		}
	}
	if !maps.Equal(got.jobs, h.jobs) {
		differs("results %q, want %q", got.jobs, h.jobs)
	}
	return err
}

// play is the recorded FreeSWITCH.
func (m manner) play(ctx context.Context, listener net.Listener, script []turn, random *rand.Rand) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(25 * time.Second))
	total := max(script[len(script)-1].at, playedFor)
	before := time.Duration(0)
	var said []byte // and not sent yet
	in := bufio.NewReader(conn)
	for i, t := range script {
		pause := t.at - before
		before = max(before, t.at)
		if t.send {
			said = append(said, t.data...)
			if m.wait == nil && i+1 < len(script) && script[i+1].send {
				continue
			}
			if m.wait != nil && pause > 0 {
				time.Sleep(m.wait(random, time.Duration(float64(pause)/float64(total)*float64(playedFor)))) // what is played
			}
			for _, piece := range m.cut(random, said) {
				if _, err := conn.Write(piece); err != nil {
					return fmt.Errorf("turn %d: %w", i, err)
				}
			}
			said = nil
			continue
		}
		var asked []byte
		for len(asked) < len(t.data) {
			b, err := in.ReadByte()
			if err != nil {
				return fmt.Errorf("turn %d: asked %q, wants %q: %w", i, asked, t.data, err)
			}
			if b != '\r' { // the library ends the lines of its login with two bytes
				asked = append(asked, b)
			}
		}
		if !bytes.Equal(asked, t.data) {
			return fmt.Errorf("turn %d: asked %q, wants %q", i, asked, t.data)
		}
	}
	return ctx.Err()
}
