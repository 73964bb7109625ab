package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

const (
	peerRate   = 48_000
	peerFrame  = peerRate / 50 // 20 ms
	peerLevel  = 8000          // peak of a tone
	maxLine    = 1 << 20
	maxSilence = peerRate * 60 // more than a minute without audio is cut to that in recordings
	maxRecord  = peerRate * 3600
)

// peerLine is a line of input.
type peerLine struct {
	Signaling json.RawMessage `json:"signaling"` // a string; in lines with an event, whatever it is
	Mute      *bool           `json:"mute"`
	Stop      bool            `json:"stop"`
	Event     string          `json:"event"`
}

var errLine = errors.New(`want {"signaling":"<hex>"}, {"mute":true} or {"stop":true}`)

// readLines feeds the engine until the input ends or says stop. A bad line is reported and skipped.
func readLines(in io.Reader, complain io.Writer, engine *voip.Engine) {
	r := bufio.NewReaderSize(in, maxLine)
	for number := 1; ; number++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			fmt.Fprintf(complain, "input line %d skipped: longer than %d bytes\n", number, maxLine)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			line = nil
		}
		stop, bad := takeLine(bytes.TrimSpace(line), engine)
		if bad != nil {
			fmt.Fprintf(complain, "input line %d skipped: %v\n", number, bad)
		}
		if stop || err != nil {
			return
		}
	}
}

func takeLine(line []byte, engine *voip.Engine) (stop bool, err error) {
	if len(line) == 0 {
		return false, nil
	}
	var l peerLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, fmt.Errorf("%w: %w", errLine, err)
	}
	switch {
	case l.Event != "": // the other side's output
		return false, nil
	case l.Signaling != nil:
		packet, err := readPacket(l.Signaling)
		if err != nil {
			return false, err
		}
		engine.Receive(packet)
	case l.Mute != nil:
		engine.SetMuted(*l.Mute)
	case !l.Stop:
		return false, errLine
	}
	return l.Stop, nil
}

func readPacket(b json.RawMessage) ([]byte, error) {
	var digits string
	if err := json.Unmarshal(b, &digits); err != nil {
		return nil, fmt.Errorf("%w: %w", errLine, err)
	}
	packet, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLine, err)
	}
	return packet, nil
}

// source is what a peer says: samples at 48 kHz, over and over.
type source struct {
	encoder *media.OpusEncoder
	next    func(pcm []int16)
}

// openSource opens a WAV file or makes a tone; the source of "" is silent.
func openSource(in string) (*source, error) {
	if in == "" {
		return &source{}, nil
	}
	encoder, err := media.NewOpusEncoder(peerRate, media.Lean)
	if err != nil {
		return nil, err
	}
	s := &source{encoder: encoder}
	if hz, ok := strings.CutPrefix(in, "tone:"); ok {
		f, err := strconv.ParseFloat(hz, 64)
		if err != nil || !(f > 0 && f < peerRate/2) {
			return nil, fmt.Errorf("--in %s: want tone:HZ", in)
		}
		s.next = tone.NewSine(peerRate, f, peerLevel).Fill
		return s, nil
	}
	pcm, _, err := tone.LoadWAV(in, peerRate)
	if err != nil {
		return nil, fmt.Errorf("--in: %w", err)
	}
	if len(pcm) == 0 {
		return nil, fmt.Errorf("--in %s: there are no samples in it", in)
	}
	at := 0
	s.next = func(out []int16) {
		for i := range out {
			out[i] = pcm[at]
			at = (at + 1) % len(pcm)
		}
	}
	return s, nil
}

// play sends 20 ms packets in real time from the moment the call is established.
func (s *source) play(ctx context.Context, established <-chan struct{}, to media.Sink) {
	if s.next == nil {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-established:
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var (
		pcm   [peerFrame]int16
		coded [1275]byte
		begin = time.Now()
		sent  uint32
	)
	for {
		// The ticker drops ticks on a busy machine; the clock says how many packets are due.
		for due := uint32(time.Since(begin) / (20 * time.Millisecond)); sent <= due; sent++ {
			s.next(pcm[:])
			n, err := s.encoder.Encode(pcm[:], coded[:])
			if err != nil {
				return // cannot happen: the frame is of a legal length
			}
			to.WriteAudio(&media.Packet{Timestamp: sent * peerFrame, Marker: sent == 0, Payload: coded[:n]})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// recording is a sink that keeps what it hears, with the pauses between packets.
type recording struct {
	decoder *media.OpusDecoder

	mu      sync.Mutex
	pcm     []int16
	started bool
	due     uint32 // timestamp of the next sample
	frame   [peerRate * 120 / 1000]int16
}

func newRecording() (*recording, error) {
	decoder, err := media.NewOpusDecoder(peerRate)
	if err != nil {
		return nil, err
	}
	return &recording{decoder: decoder}, nil
}

// WriteAudio implements media.Sink.
func (r *recording) WriteAudio(p *media.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p.Payload) == 0 || len(r.pcm) > maxRecord {
		return
	}
	if !r.started {
		r.started, r.due = true, p.Timestamp
	}
	gap := int32(p.Timestamp - r.due)
	if gap < 0 {
		return // late: its place has been filled
	}
	n, err := r.decoder.Decode(p.Payload, r.frame[:])
	if err != nil {
		return
	}
	r.pcm = append(r.pcm, make([]int16, min(int(gap), maxSilence))...)
	r.pcm = append(r.pcm, r.frame[:n]...)
	r.due = p.Timestamp + uint32(n)
}

// save writes the WAV file.
func (r *recording) save(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return tone.SaveWAV(path, peerRate, r.pcm)
}
