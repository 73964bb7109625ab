package calls

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// silent is an API that never answers.
type silent struct{ API }

func (silent) MessagesGetDhConfig(ctx context.Context, _ *tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) PhoneConfirmCall(ctx context.Context, _ *tg.PhoneConfirmCallRequest) (*tg.PhonePhoneCall, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) PhoneAcceptCall(ctx context.Context, _ *tg.PhoneAcceptCallRequest) (*tg.PhonePhoneCall, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// idle is an engine that does nothing.
type idle struct{}

func (idle) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (idle) Receive([]byte)                {}
func (idle) Events() <-chan voip.Event     { return nil }
func (idle) Flow() media.Flow              { return nil }
func (idle) SetMuted(bool)                 {}
func (idle) Stats() voip.Stats             { return voip.Stats{} }

// FuzzUpdate brings any phoneCall object to calls in each of their phases. Nothing panics, and a key is never taken
// from an object whose identity or values are wrong.
func FuzzUpdate(f *testing.F) {
	protocol := tg.PhoneCallProtocol{UDPP2P: true, MinLayer: 65, MaxLayer: 92, LibraryVersions: []string{"13.0.0"}}
	discarded := &tg.PhoneCallDiscarded{ID: 7}
	discarded.SetReason(&tg.PhoneCallDiscardReasonMissed{})
	for _, seed := range []tg.PhoneCallClass{
		&tg.PhoneCallEmpty{ID: 7}, discarded,
		&tg.PhoneCallWaiting{ID: 7, AccessHash: 8, AdminID: alice, ParticipantID: bob, Protocol: protocol, ReceiveDate: 1},
		&tg.PhoneCallRequested{ID: 7, AccessHash: 8, AdminID: alice, ParticipantID: bob, Protocol: protocol, GAHash: make([]byte, 32)},
		&tg.PhoneCallAccepted{ID: 7, AccessHash: 8, AdminID: alice, ParticipantID: bob, Protocol: protocol, GB: make([]byte, 256)},
		&tg.PhoneCall{ID: 7, AccessHash: 8, AdminID: alice, ParticipantID: bob, Protocol: protocol, GAOrB: []byte{1, 2},
			Connections: []tg.PhoneConnectionClass{&tg.PhoneConnectionWebrtc{IP: "192.0.2.1", Port: 1, Turn: true}}},
	} {
		var b bin.Buffer
		if err := seed.Encode(&b); err != nil {
			f.Fatal(err)
		}
		for p := range uint8(established) + 1 {
			f.Add(b.Raw(), p)
		}
	}
	own, err := newSecret(&group{p: prime(f), g: prime(f).SetInt64(3)}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, at uint8) {
		u, err := tg.DecodePhoneCall(&bin.Buffer{Buf: raw})
		if err != nil {
			return
		}
		c := callAt(phase(at%uint8(established+1)), own)
		defer c.jobs.group.Wait()
		defer c.jobs.cancel()
		had := c.media.engine
		c.receive(parcel{call: u})
		if c.media.engine != nil && had == nil {
			same, ok := u.(*tg.PhoneCall)
			if !ok || !c.same(same) || same.KeyFingerprint != c.print {
				t.Errorf("media started by %v", u)
			}
			c.stopMedia()
		}
		_ = c.line.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: u}) // the line does not run: nobody rings
	})
}

// callAt is a call in a phase, without its goroutine.
func callAt(p phase, own *secret) *Call {
	l := New(Options{API: silent{}, Self: alice, Log: slog.New(slog.DiscardHandler)})
	l.opts.Engine = func(voip.Config) (Engine, error) { return idle{}, nil }
	outgoing := p < offered || p > accepting
	c := newCall(l, outgoing)
	c.base = context.Background()
	c.jobs = newJobs(c.base)
	c.timer = time.NewTimer(time.Hour)
	c.facts.admin.Store(alice)
	c.facts.participant.Store(bob)
	c.id, c.accessHash, c.secret, c.phase = 7, 8, own, p
	if p >= connecting {
		c.media.engine = idle{}
	}
	return c
}
