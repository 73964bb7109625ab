package calls

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

func atOnce(o *Options) { o.Received = ReceivedAtOnce }

// talk sets a call up from alice to bob, to the point where audio flows.
func talk(t *testing.T, a, b *user) (out, in *Call) {
	t.Helper()
	out = a.Place(to(bob))
	in = b.next(t)
	in.Accept()
	for {
		if _, ok := next(t, out).(Established); ok {
			break
		}
	}
	expect[Accepted](t, in)
	expect[Established](t, in)
	return out, in
}

// TestReferenceVersions: with the setting the reference engines are offered, and taken where Telegram picks one.
func TestReferenceVersions(t *testing.T) {
	for _, on := range []bool{true, false} {
		bubble(t, func(t *testing.T, x *exchange) {
			x.forge["phoneCall"] = func(c tg.PhoneCallClass) { c.(*tg.PhoneCall).Protocol.LibraryVersions = []string{"11.0.0"} }
			a, b := x.join(alice, func(o *Options) { o.Reference = on }), x.join(bob, func(o *Options) { o.Reference = on })
			if offered := a.opts.Versions; offered[0] != "13.0.0" || slices.Contains(offered, "10.0.0") != on || slices.Contains(offered, "11.0.0") != on {
				t.Errorf("offered %v", offered)
			}
			if on {
				talk(t, a, b)
				if v := x.engine(bob).config.Version; v != "11.0.0" {
					t.Errorf("engine of %s", v)
				}
				return
			}
			out := a.Place(to(bob))
			in := b.next(t)
			in.Accept()
			refused := false // by whoever hears of it first
			for _, c := range []*Call{out, in} {
				var end Ended
				for ended := false; !ended; {
					end, ended = next(t, c).(Ended)
				}
				refused = refused || end.Err != nil && end.Err.Kind == Incompatible
			}
			if !refused {
				t.Error("nobody refused the version")
			}
		})
	}
}

func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob, atOnce)
		out := a.Place(to(bob))
		in := b.next(t)
		if !out.Outgoing() || in.Outgoing() || out.Peer() != bob || in.Peer() != alice || in.ID() == 0 {
			t.Errorf("out %v %d, in %v %d id %d", out.Outgoing(), out.Peer(), in.Outgoing(), in.Peer(), in.ID())
		}
		expect[Requested](t, out)
		expect[Received](t, out)
		if out.ID() != in.ID() {
			t.Errorf("ids %d and %d", out.ID(), in.ID())
		}
		in.Accept()
		expect[Accepted](t, in)
		expect[Accepted](t, out)
		flow := expect[Established](t, out).Flow
		expect[Established](t, in)
		ea, eb := x.engine(alice), x.engine(bob)
		if flow != ea.flow || *ea.config.Key != *eb.config.Key || ea.config.Role != out.role() || eb.config.Role != in.role() {
			t.Error("flow, key or role are wrong")
		}
		if want := []voip.Server{
			{ID: 1, Host: "192.0.2.1", Port: 599, PeerTag: strings.Repeat("00", 16)},
			{ID: 2, Host: "192.0.2.2", Port: 1400, Username: "u", Password: "p", TURN: true},
			{ID: 2, Host: "2001:db8::2", Port: 1400, Username: "u", Password: "p", TURN: true},
		}; !slices.Equal(ea.config.Servers, want) || !ea.config.P2P || ea.config.Version != "13.0.0" {
			t.Errorf("engine's configuration %+v", ea.config)
		}

		eb.events <- voip.PeerMediaState{Muted: true}
		if e := expect[MediaState](t, in); !e.Muted {
			t.Error("not muted")
		}
		for range 2 { // levels, told as edges
			eb.events <- voip.StateChanged{State: voip.Reconnecting}
		}
		expect[Reconnecting](t, in)
		for range 2 {
			eb.events <- voip.StateChanged{State: voip.Established}
		}
		expect[Reconnected](t, in)
		in.SetMuted(true)
		if stats, ok := in.Stats(); !ok || stats.Version != "13.0.0" || !eb.muted {
			t.Errorf("stats %+v %v, muted %v", stats, ok, eb.muted)
		}

		time.Sleep(61*time.Second + 900*time.Millisecond)
		out.Discard(Ordinary)
		e := ended(t, out)
		if e.Reason != Hangup || e.Remote || e.Err != nil || e.Duration.Truncate(time.Second) != 61*time.Second {
			t.Errorf("caller's end %+v", e)
		}
		e = ended(t, in)
		if e.Reason != Hangup || !e.Remote || e.Err != nil || e.Duration.Truncate(time.Second) != 61*time.Second {
			t.Errorf("callee's end %+v", e)
		}
		synctest.Wait()
		if got := x.said(alice, "discardCall"); !slices.Equal(got, []string{"discardCall hangup 61"}) {
			t.Errorf("caller said %q", got)
		}
		if got := x.said(bob, "discardCall"); got != nil {
			t.Errorf("callee said %q", got)
		}
	})
}

func TestReceivedNever(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out := a.Place(to(bob))
		in := b.next(t)
		expect[Requested](t, out)
		in.Accept()
		expect[Accepted](t, out) // without Received
		synctest.Wait()
		if got := x.said(bob, "receivedCall"); got != nil {
			t.Errorf("said %q", got)
		}
	})
}

func TestManyCallsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		var calls []*Call
		for range 5 {
			out, in := talk(t, a, b)
			calls = append(calls, out, in)
		}
		back := b.Place(to(alice)) // the other way as well
		a.next(t).Accept()
		for {
			if _, ok := next(t, back).(Established); ok {
				break
			}
		}
		calls[3].Discard(Ordinary)
		if e := ended(t, calls[2]); e.Reason != Hangup || !e.Remote {
			t.Errorf("ended %+v", e)
		}
		synctest.Wait()
		if n := x.open(); n != 5 {
			t.Errorf("%d calls are open, want 5", n)
		}
	})
}

// TestUpdatesBeforeTheAnswer: the callee is faster than the answer to phone.requestCall.
func TestUpdatesBeforeTheAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob, atOnce)
		x.then(alice, "requestCall", func(context.Context) { time.Sleep(4 * time.Second) })
		out := a.Place(to(bob))
		in := b.next(t)
		in.Accept()
		expect[Requested](t, out)
		expect[Received](t, out)
		expect[Accepted](t, out)
		expect[Established](t, out)
	})
}

func TestRedelivery(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		twice := func(user int64, u *tg.UpdatePhoneCall) error {
			for range 2 {
				_ = x.lines[user].HandleCall(context.Background(), u)
			}
			return nil
		}
		x.push = twice
		out, in := talk(t, a, b)
		if len(b.incoming) != 0 {
			t.Error("the call rings twice")
		}
		out.Discard(Ordinary)
		ended(t, out)
		ended(t, in)
		synctest.Wait()
		// A gap is recovered after the call: everything comes once more.
		_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{
			ID: in.ID(), AccessHash: in.ID() * 7, Date: int(time.Now().Unix()), AdminID: alice, ParticipantID: bob,
		}})
		_ = b.HandleSignaling(t.Context(), &tg.UpdatePhoneCallSignalingData{PhoneCallID: in.ID(), Data: []byte("late")})
		synctest.Wait()
		if len(b.incoming) != 0 || len(b.parked) != 0 {
			t.Error("a call that has ended came to life")
		}
		for _, m := range []string{"acceptCall", "confirmCall"} {
			if n := len(x.said(alice, m)) + len(x.said(bob, m)); n != 1 {
				t.Errorf("%s was said %d times", m, n)
			}
		}
	})
}

func TestIgnoredRequests(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		b := x.join(bob)
		now := int(time.Now().Unix())
		for name, r := range map[string]tg.PhoneCallRequested{
			"too old":     {ID: 1, Date: now - 91, AdminID: alice, ParticipantID: bob},
			"our own":     {ID: 2, Date: now, AdminID: bob, ParticipantID: alice},
			"not for us":  {ID: 3, Date: now, AdminID: alice, ParticipantID: 77},
			"from itself": {ID: 4, Date: now, AdminID: bob, ParticipantID: bob},
		} {
			_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &r})
			synctest.Wait()
			if len(b.incoming) != 0 {
				t.Errorf("%s: it rings", name)
				<-b.incoming
			}
		}
		_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{})
		_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{ID: 5, Date: now - 89, AdminID: alice, ParticipantID: bob}})
		c := b.next(t)
		c.Discard(Ordinary)
		ended(t, c)
	})
}

// TestDateIsTelegrams: with a wrong clock of our own, calls are still judged rightly.
func TestDateIsTelegrams(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		b := x.join(bob, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(-time.Hour) } })
		date := int(time.Now().Add(-time.Hour).Unix())
		_ = b.HandleCall(t.Context(), &tg.UpdatePhoneCall{PhoneCall: &tg.PhoneCallRequested{ID: 5, Date: date, AdminID: alice, ParticipantID: bob}})
		b.next(t)
	})
}

// TestTimers: how long each wait lasts.
func TestTimers(t *testing.T) {
	cases := []struct {
		name    string
		prepare func(x *exchange)
		accept  bool
		want    time.Duration
	}{
		{name: "ring", want: 90 * time.Second},
		{name: "receive", want: 20 * time.Second, prepare: func(x *exchange) { x.fails(bob, "receivedCall", tgerr.New(500, "NO")) }},
		{name: "connect", want: 30 * time.Second, accept: true, prepare: func(x *exchange) {
			x.engines[alice], x.engines[bob] = &fakeEngine{deaf: true}, &fakeEngine{deaf: true}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, x *exchange) {
				if c.prepare != nil {
					c.prepare(x)
				}
				a, b := x.join(alice), x.join(bob, atOnce)
				began := time.Now()
				out := a.Place(to(bob))
				in := b.next(t)
				if c.accept {
					in.Accept()
				}
				ended(t, out)
				if got := time.Since(began); got != c.want {
					t.Errorf("ended after %v, want %v", got, c.want)
				}
				ended(t, in)
			})
		})
	}
}

// TestRequestErrors: what Telegram says to phone.requestCall.
func TestRequestErrors(t *testing.T) {
	for text, want := range map[string]Error{
		"USER_PRIVACY_RESTRICTED": {Kind: Private}, "USER_IS_BLOCKED": {Kind: Blocked}, "USER_IS_BOT": {Kind: NoUser},
		"INPUT_USER_DEACTIVATED": {Kind: NoUser}, "USER_ID_INVALID": {Kind: NoUser}, "PEER_ID_INVALID": {Kind: NoAccess},
		"PARTICIPANT_VERSION_OUTDATED": {Kind: Incompatible}, "CALL_PROTOCOL_COMPAT_LAYER_INVALID": {Kind: Incompatible},
		"PARTICIPANT_CALL_FAILED": {Kind: Refused}, "PEER_FLOOD": {Kind: PeerFlooded}, "FLOOD_WAIT_77": {Kind: Flooded, Wait: 77 * time.Second},
		"AUTH_KEY_UNREGISTERED": {Kind: Unauthorized}, "SESSION_REVOKED": {Kind: Unauthorized}, "USER_DEACTIVATED_BAN": {Kind: Unauthorized},
		"CALL_PROTOCOL_FLAGS_INVALID": {Kind: Failed}, "SOMETHING_NEW": {Kind: Failed},
	} {
		for _, method := range []string{"requestCall", "getDhConfig"} {
			t.Run(method+" "+text, func(t *testing.T) {
				bubble(t, func(t *testing.T, x *exchange) {
					a := x.join(alice)
					x.fails(alice, method, tgerr.New(400, text))
					e := ended(t, a.Place(to(bob)))
					if e.Err == nil || e.Err.Kind != want.Kind || e.Err.Wait != want.Wait || e.Remote {
						t.Errorf("ended %+v, %v", e, e.Err)
					}
					if rpc, ok := tgerr.As(e.Err); !ok || rpc.Message != text {
						t.Errorf("error %v does not lead to the RPC's", e.Err)
					}
					if got := x.said(alice, "discardCall"); got != nil {
						t.Errorf("said %q", got)
					}
					began := time.Now()
					if a.stop(); time.Since(began) > 0 {
						t.Errorf("something of the call was left for %v", time.Since(began))
					}
				})
			})
		}
	}
}

func TestRandomIDIsChangedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		twice := tgerr.New(500, "RANDOM_ID_DUPLICATE")
		x.fails(alice, "requestCall", twice)
		talk(t, a, b)
		x.fails(alice, "requestCall", twice, twice)
		if e := ended(t, a.Place(to(bob))); e.Err == nil || !tgerr.Is(e.Err, "RANDOM_ID_DUPLICATE") {
			t.Errorf("ended %+v", e)
		}
	})
}

func TestCallToOneself(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a := x.join(alice)
		for _, peer := range []tg.InputUserClass{to(alice), &tg.InputUserSelf{}} {
			if e := ended(t, a.Place(peer)); e.Err == nil || e.Err.Kind != ToSelf {
				t.Errorf("ended %+v", e)
			}
		}
		if e := ended(t, a.Place(nil)); e.Err == nil || e.Err.Kind != NoUser {
			t.Errorf("ended %+v", e)
		}
		if len(x.log) != 0 {
			t.Errorf("said %q", x.log)
		}
	})
}

func TestEngineFails(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out, in := talk(t, a, b)
		time.Sleep(7 * time.Second)
		lost := errors.New("lost")
		x.engine(alice).fail <- lost
		e := ended(t, out)
		if e.Reason != Disconnect || e.Err == nil || e.Err.Kind != NoMedia || !errors.Is(e.Err, lost) || e.Duration != 7*time.Second {
			t.Errorf("ended %+v", e)
		}
		if e := ended(t, in); e.Reason != Disconnect || !e.Remote || e.Err != nil {
			t.Errorf("callee's end %+v", e)
		}
		synctest.Wait()
		if got := x.said(alice, "discardCall"); !slices.Equal(got, []string{"discardCall disconnect 7"}) {
			t.Errorf("said %q", got)
		}
	})
}

func TestEngineCannotBeMade(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		a.opts.Engine = func(voip.Config) (Engine, error) { return nil, voip.ErrConfig }
		out := a.Place(to(bob))
		in := b.next(t)
		in.Accept()
		if e := ended(t, out); e.Err == nil || e.Err.Kind != NoMedia || !errors.Is(e.Err, voip.ErrConfig) {
			t.Errorf("ended %+v", e)
		}
		ended(t, in)
	})
}

// TestOwnerDoesNotRead: repeated events are dropped, the others wait.
func TestOwnerDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, x *exchange) {
		a, b := x.join(alice), x.join(bob)
		out := a.Place(to(bob))
		b.next(t).Accept()
		synctest.Wait()
		e := x.engine(alice)
		for range 50 {
			e.events <- voip.StateChanged{State: voip.Reconnecting}
			synctest.Wait()
			e.events <- voip.StateChanged{State: voip.Established}
			synctest.Wait()
		}
		out.Discard(Ordinary)
		synctest.Wait()
		var got []Event
		for e := range out.Events() {
			got = append(got, e)
		}
		if _, ok := got[len(got)-1].(Ended); !ok || len(got) != eventsLevels+1 {
			t.Errorf("%d events, the last is %T", len(got), got[len(got)-1])
		}
	})
}

func TestReasons(t *testing.T) {
	for _, r := range []Reason{Missed, Busy, Hangup, Disconnect} {
		if got := reasonOf(r.tl()); got != r {
			t.Errorf("%v came back as %v", r, got)
		}
	}
	if got := reasonOf(&tg.PhoneCallDiscardReasonMigrateConferenceCall{Slug: "x"}); got != Migrated {
		t.Errorf("migrated came as %v", got)
	}
	if got := reasonOf(nil); got != Ordinary {
		t.Errorf("no reason came as %v", got)
	}
}
