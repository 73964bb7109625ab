//go:build cgo

package media

import (
	"context"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

// A whole call over real sockets: a phone with packets of 60 ms, a PBX with 20 ms of µ-law, a tone each way.
func TestCallOverSockets(t *testing.T) {
	wheel := NewWheel()
	ctx, cancel := context.WithCancel(t.Context())
	turned := make(chan error, 1)
	go func() { turned <- wheel.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-turned; err != nil {
			t.Error(err)
		}
	}()
	port := listen(t, RTPOptions{})
	phone, pbx := newPBXSocket(t, port), newPBXSocket(t, port)
	phone.PayloadType = 111
	phoneFlow, pbxFlow := open(t, port, phone, opusFormat, 111), open(t, port, pbx, ulawFormat, 0)
	c, err := Connect(phoneFlow, pbxFlow, Options{Wheel: wheel, Profile: Lean})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()

	const packets = 12
	said, answered := opusStream(t, Robust, 48_000, 700, 60*ms, packets), pbxStream(ulawFormat, 400, 20*ms, 3*packets)
	tick := time.NewTicker(20 * ms)
	defer tick.Stop()
	for i := range 3 * packets {
		if i%3 == 0 {
			phone.Timestamp = uint32(i) * 960
			phone.send(said[i/3])
		}
		pbx.send(answered[i])
		<-tick.C
	}

	// A machine that is out of breath may drop what it held back; but all is accounted for.
	until(t, "the last slice", func() bool {
		s := c.Stats()
		return s.AtoB.PacketsOut+3*s.AtoB.Stale == 3*packets && s.BtoA.PacketsOut+s.BtoA.Stale == 3*packets
	})
	s := c.Stats()
	if s.AtoB.PacketsOut < 2*packets || s.BtoA.PacketsOut < 2*packets || s.AtoB.Concealed != 0 {
		t.Errorf("%+v", s)
	}
	t.Logf("added latency: to the PBX %v, to the phone %v", s.AtoB.Latency, s.BtoA.Latency)
	d, err := NewOpusDecoder(8_000)
	if err != nil {
		t.Fatal(err)
	}
	var atPBX, atPhone []int16
	for range s.AtoB.PacketsOut {
		p := pbx.read()
		pcm := make([]int16, len(p.Payload))
		DecodeULaw(pcm, p.Payload)
		atPBX = append(atPBX, pcm...)
	}
	for range s.BtoA.PacketsOut {
		pcm := make([]int16, longest(8_000))
		n, err := d.Decode(phone.read().Payload, pcm)
		if err != nil {
			t.Fatal(err)
		}
		atPhone = append(atPhone, pcm[:n]...)
	}
	if p := tone.Purity(atPBX[1600:], 8_000, 700); p < 0.9 {
		t.Errorf("the PBX heard %d samples, purity %.3f", len(atPBX), p)
	}
	if p := tone.Purity(atPhone[1600:], 8_000, 400); p < 0.9 {
		t.Errorf("the phone heard %d samples, purity %.3f", len(atPhone), p)
	}
}
