package voip

import (
	"bytes"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// TestLongMessageOnTheDataChannel: it is dropped, and what follows is not.
func TestLongMessageOnTheDataChannel(t *testing.T) {
	p := newPair(t, pairOptions{})
	p.establish(t)
	until(t, 5*time.Second, "data channel", func() bool {
		return p.callee.sendData(bytes.Repeat([]byte{' '}, 20*channelMessage))
	})
	state, err := signaling.Marshal(signaling.MediaState{LowBattery: true, VideoState: signaling.VideoInactive, ScreencastState: signaling.VideoInactive})
	if err != nil || !p.callee.sendData(state) {
		t.Fatalf("state cannot be sent: %v", err)
	}
	await(t, p.caller.Engine, 5*time.Second, func(e PeerMediaState) bool { return e.LowBattery })
}

// sendData writes to the data channel in the session's goroutine.
func (s *side) sendData(message []byte) bool {
	done := make(chan bool, 1)
	s.command(func(s *session) error {
		done <- s.safe.data != nil && s.safe.data.send(message)
		return nil
	})
	return <-done
}
