package calls

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// TestEnds: who ends a call when, and what each side and Telegram are told.
func TestEnds(t *testing.T) {
	type outcome struct {
		reason Reason
		remote bool
		kind   Kind // with failed
		failed bool
	}
	cases := []struct {
		name    string
		prepare func(x *exchange)
		act     func(t *testing.T, x *exchange, out, in *Call)
		out, in outcome
		saidA   string
		saidB   string
	}{
		{
			name: "caller cancels", act: func(_ *testing.T, _ *exchange, out, _ *Call) { out.Discard(Ordinary) },
			out: outcome{reason: Missed}, in: outcome{reason: Missed, remote: true}, saidA: "discardCall missed 0",
		},
		{
			name: "callee declines", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Discard(Ordinary) },
			out: outcome{reason: Busy, remote: true}, in: outcome{reason: Busy}, saidB: "discardCall busy 0",
		},
		{
			name: "callee hangs up with a reason of its own", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Discard(Hangup) },
			out: outcome{reason: Hangup, remote: true}, in: outcome{reason: Hangup}, saidB: "discardCall hangup 0",
		},
		{
			name: "nobody answers", act: func(*testing.T, *exchange, *Call, *Call) {},
			out: outcome{reason: Missed, failed: true, kind: NotAnswered}, in: outcome{reason: Missed, remote: true}, saidA: "discardCall missed 0",
		},
		{
			name: "no device has the call", act: func(*testing.T, *exchange, *Call, *Call) {},
			prepare: func(x *exchange) { x.fails(bob, "receivedCall", tgerr.New(500, "NO")) },
			out:     outcome{reason: Missed, failed: true, kind: NotReceived}, in: outcome{reason: Missed, remote: true}, saidA: "discardCall missed 0",
		},
		{
			name: "caller never confirms", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.on(alice, "confirmCall", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			},
			out: outcome{reason: Disconnect, failed: true, kind: NoConnection}, in: outcome{reason: Disconnect, remote: true}, saidA: "discardCall disconnect 0",
		},
		{
			name: "callee hears nothing of the confirmation", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) { x.drop["phoneCall"] = true },
			out:     outcome{reason: Disconnect, remote: true}, in: outcome{reason: Disconnect, failed: true, kind: NoMedia}, saidB: "discardCall disconnect 0",
		},
		{
			name: "audio never comes up", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) { x.engines[alice], x.engines[bob] = &fakeEngine{deaf: true}, &fakeEngine{deaf: true} },
			out:     outcome{reason: Disconnect, failed: true, kind: NoMedia}, in: outcome{reason: Disconnect, failed: true, kind: NoMedia},
			saidA: "discardCall disconnect 0", saidB: "discardCall disconnect 0",
		},
		{
			name: "answered on another device",
			act: func(t *testing.T, x *exchange, _, in *Call) {
				x.send(bob, &tg.PhoneCallDiscarded{ID: in.ID()})
			},
			out: outcome{reason: Missed, failed: true, kind: NotAnswered}, in: outcome{remote: true, failed: true, kind: Elsewhere},
			saidA: "discardCall missed 0",
		},
		{
			name: "accept comes too late, another device was faster",
			act: func(t *testing.T, x *exchange, _, in *Call) {
				x.fails(bob, "acceptCall", tgerr.New(400, "CALL_ALREADY_ACCEPTED"))
				in.Accept()
			},
			out: outcome{reason: Missed, failed: true, kind: NotAnswered}, in: outcome{remote: true, failed: true, kind: Elsewhere},
			saidA: "discardCall missed 0",
		},
		{
			name: "accept comes too late, another device has declined",
			act: func(t *testing.T, x *exchange, _, in *Call) {
				x.fails(bob, "acceptCall", tgerr.New(400, "CALL_ALREADY_DECLINED"))
				in.Accept()
			},
			out: outcome{reason: Missed, failed: true, kind: NotAnswered}, in: outcome{remote: true, failed: true, kind: Elsewhere},
			saidA: "discardCall missed 0",
		},
		{
			name: "accept comes too late, the caller has given up",
			act: func(t *testing.T, x *exchange, out, in *Call) {
				x.on(bob, "acceptCall", func(context.Context) error {
					out.Discard(Ordinary)
					return tgerr.New(400, "CALL_ALREADY_DECLINED")
				})
				in.Accept()
			},
			out: outcome{reason: Missed}, in: outcome{reason: Missed, remote: true}, saidA: "discardCall missed 0",
		},
		{
			name: "the account is occupied",
			act: func(t *testing.T, x *exchange, _, in *Call) {
				x.fails(bob, "acceptCall", tgerr.New(500, "CALL_OCCUPY_FAILED"))
				in.Accept()
			},
			out: outcome{reason: Busy, remote: true}, in: outcome{reason: Busy, failed: true, kind: Occupied}, saidB: "discardCall busy 0",
		},
		{
			name: "the callee's key is forged", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCallAccepted"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCallAccepted).GB = []byte{5} }
			},
			out: outcome{reason: Disconnect, failed: true, kind: Insecure}, in: outcome{reason: Disconnect, remote: true}, saidA: "discardCall disconnect 0",
		},
		{
			name: "the caller's key does not fit its hash", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCall"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCall).GAOrB[9] ^= 1 }
			},
			out: outcome{reason: Disconnect, remote: true}, in: outcome{reason: Disconnect, failed: true, kind: Insecure}, saidB: "discardCall disconnect 0",
		},
		{
			name: "the fingerprint is wrong", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCall"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCall).KeyFingerprint++ }
			},
			out: outcome{reason: Disconnect, remote: true}, in: outcome{reason: Disconnect, failed: true, kind: Insecure}, saidB: "discardCall disconnect 0",
		},
		{
			name: "the access hash changes", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCall"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCall).AccessHash++ }
			},
			out: outcome{reason: Disconnect, remote: true}, in: outcome{reason: Disconnect, failed: true, kind: Insecure}, saidB: "discardCall disconnect 0",
		},
		{
			name: "another one takes part", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCallAccepted"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCallAccepted).ParticipantID++ }
			},
			out: outcome{reason: Disconnect, failed: true, kind: Insecure}, in: outcome{reason: Disconnect, remote: true}, saidA: "discardCall disconnect 0",
		},
		{
			name: "no version in common", act: func(_ *testing.T, _ *exchange, _, in *Call) { in.Accept() },
			prepare: func(x *exchange) {
				x.forge["phoneCallAccepted"] = func(c tg.PhoneCallClass) {
					c.(*tg.PhoneCallAccepted).Protocol.LibraryVersions = []string{"2.4.4"}
				}
			},
			out: outcome{reason: Disconnect, failed: true, kind: Incompatible}, in: outcome{reason: Disconnect, remote: true}, saidA: "discardCall disconnect 0",
		},
		{
			name: "telegram has forgotten the call",
			act:  func(_ *testing.T, x *exchange, out, _ *Call) { x.send(alice, &tg.PhoneCallEmpty{ID: out.ID()}) },
			out:  outcome{reason: Disconnect, remote: true, failed: true, kind: Failed}, in: outcome{reason: Missed, failed: true, kind: NotAnswered},
			saidB: "discardCall missed 0",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				if c.prepare != nil {
					c.prepare(x)
				}
				a, b := x.join(alice), x.join(bob, atOnce)
				out := a.Place(to(bob))
				in := b.next(t)
				synctest.Wait()
				c.act(t, x, out, in)
				for side, got := range map[string]struct {
					is   Ended
					want outcome
				}{"caller": {ended(t, out), c.out}, "callee": {ended(t, in), c.in}} {
					if got.is.Reason != got.want.reason || got.is.Remote != got.want.remote || (got.is.Err != nil) != got.want.failed ||
						got.is.Err != nil && got.is.Err.Kind != got.want.kind {
						t.Errorf("%s: %+v (%v), want %+v", side, got.is, got.is.Err, got.want)
					}
				}
				synctest.Wait()
				for user, want := range map[int64]string{alice: c.saidA, bob: c.saidB} {
					got := x.said(user, "discardCall")
					if want == "" && got != nil || want != "" && !slices.Equal(got, []string{want}) {
						t.Errorf("user %d said %q, want %q", user, got, want)
					}
				}
				if len(a.calls) != 0 || len(b.calls) != 0 {
					t.Error("a call is still on the line")
				}
			})
		})
	}
}
