package telegram_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// scene is a call between the account and alice's phone, brought to some moment.
type scene struct {
	*world
	office  *office
	sockets *voip.Net // of the account's media
	phone   *phone.Phone
	call    *phone.Call // alice's side
	leg     bridge.Leg
	release func() // lets an answer of Telegram's go that was held back; nil for none
}

// moments are how far a call can be, and what phone.discardCall says of an ordinary hang-up then.
var moments = []struct {
	name  string
	bring func(*scene)
	said  string // reason
	media bool   // an engine runs
}{
	{name: "requested, not answered yet", said: "missed", bring: func(s *scene) {
		s.release = s.control.HoldAnswer(trunk, "phone.requestCall")
		s.place(phone.Ignore)
	}},
	{name: "nobody has received it", said: "missed", bring: func(s *scene) {
		s.control.FailNext(alice, "phone.receivedCall", 500, "NO")
		s.place(phone.Ignore)
		s.is(cloud.CallRequested)
	}},
	{name: "rings", said: "missed", bring: func(s *scene) {
		s.place(phone.Ignore)
		next[bridge.Reached](s.t, s.leg)
	}},
	{name: "accepted, not confirmed yet", said: "hangup", bring: func(s *scene) {
		s.release = s.control.HoldAnswer(trunk, "phone.confirmCall")
		s.place(phone.Answer)
		s.is(cloud.CallActive)
	}},
	{name: "confirmed, without audio", said: "hangup", media: true, bring: func(s *scene) {
		s.control.LoseSignaling(alice, true)
		s.place(phone.Answer)
		s.is(cloud.CallActive)
	}},
	{name: "talks", said: "hangup", media: true, bring: func(s *scene) {
		s.place(phone.Answer)
		up(s.t, s.leg)
	}},
	{name: "is offered", said: "busy", bring: func(s *scene) {
		s.take()
		s.is(cloud.CallReceived)
	}},
	{name: "taken, caller has not confirmed", said: "hangup", bring: func(s *scene) {
		s.take()
		s.is(cloud.CallReceived)
		s.control.DropUpdates(alice, true)
		s.leg.Answer()
		s.is(cloud.CallAccepted)
		s.control.DropUpdates(alice, false)
	}},
	{name: "taken, without audio", said: "hangup", media: true, bring: func(s *scene) {
		s.control.LoseSignaling(alice, true)
		s.take()
		s.leg.Answer()
		s.is(cloud.CallActive)
	}},
	{name: "taken and talks", said: "hangup", media: true, bring: func(s *scene) {
		s.take()
		s.leg.Answer()
		up(s.t, s.leg)
	}},
}

// ends are the ways of a call to end.
var ends = []struct {
	name   string
	act    func(*scene)
	engine bool          // needs one
	said   string        // instead of the moment's
	silent bool          // Telegram is told nothing: it knows, or nobody can tell
	cause  bridge.Reason // of the leg
}{
	{name: "PBX hangs up", cause: bridge.Cancelled, act: func(s *scene) { s.leg.Hangup(bridge.CauseOf(bridge.Cancelled)) }},
	{name: "PBX hangs up in a flood", cause: bridge.Cancelled, act: func(s *scene) {
		s.control.FloodNext(trunk, "phone.discardCall", 1)
		s.leg.Hangup(bridge.CauseOf(bridge.Cancelled))
	}},
	{name: "service stops", cause: bridge.AccountDown, act: func(s *scene) {
		if s.release != nil {
			time.AfterFunc(100*time.Millisecond, s.release) // the answer comes while the account ends
		}
		s.office.stop()
	}},
	{name: "engine fails", engine: true, said: "disconnect", cause: bridge.MediaFailed, act: func(s *scene) { s.sockets.Close() }},
	{name: "session is revoked", silent: true, cause: bridge.AccountDown, act: func(s *scene) { s.control.RevokeSessions(trunk) }},
}

// TestEveryEnd: whatever the moment and whoever ends the call, Telegram is told once and the right thing, and no phone
// keeps ringing.
func TestEveryEnd(t *testing.T) {
	for _, m := range moments {
		for _, e := range ends {
			if e.engine && !m.media {
				continue
			}
			t.Run(m.name+", "+e.name, func(t *testing.T) {
				s := newScene(t)
				m.bring(s)
				e.act(s)
				if s.release != nil {
					s.release()
				}
				wantEnd(t, s.leg, e.cause)
				if e.silent && m.said == "busy" {
					s.call.Hangup() // Telegram lets the caller wait: another device may still answer
				}
				over(t, s.call)
				s.noCalls()
				want := cloud.Discard{User: trunk, Reason: m.said}
				if e.said != "" {
					want.Reason = e.said
				}
				var got []cloud.Discard
				for _, d := range s.lastCall().Discards {
					if d.User == trunk {
						if strings.HasSuffix(m.name, "talks") { // a second of them on a slow machine
							d.Duration = 0
						}
						got = append(got, d)
					}
				}
				if e.silent && len(got) != 0 || !e.silent && !slices.Equal(got, []cloud.Discard{want}) {
					t.Errorf("the account said %+v, want %+v", got, want)
				}
			})
		}
	}
}

// TestDurationIsTold: phone.discardCall says the whole seconds since the audio came up.
func TestDurationIsTold(t *testing.T) {
	s := newScene(t)
	s.place(phone.Answer)
	up(t, s.leg)
	began := time.Now()
	eventually(t, func() error {
		if time.Since(began) < 1100*time.Millisecond {
			return errors.New("not yet")
		}
		return nil
	})
	s.leg.Hangup(bridge.CauseOf(bridge.Normal))
	wantEnd(t, s.leg, bridge.Normal)
	over(t, s.call)
	s.noCalls()
	got := s.lastCall().Discards
	if len(got) != 1 || got[0].Duration < 1 || got[0].Duration > int(time.Since(began)/time.Second)+1 {
		t.Errorf("the account said %+v", got)
	}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	sockets, err := voip.ListenNet(voip.NetOptions{Listen: "127.0.0.1:0", Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sockets.Close)
	w, o := openIn(t, nil, func(o *telegram.Options) { o.Calls.Mode, o.Net = telegram.Single, sockets })
	return &scene{world: w, office: o, sockets: sockets, phone: w.phone(alice, phone.Behaviour{}, func(o *phone.Options) { o.Control = w.control })}
}

// place calls alice.
func (s *scene) place(action phone.Action) {
	s.t.Helper()
	s.phone.Behave(phone.Behaviour{Action: action})
	s.leg = s.office.dial(byName("alice_a"))
	s.call = incoming(s.t, s.phone, 0)
}

// take lets alice call.
func (s *scene) take() {
	s.t.Helper()
	s.call = s.calls(s.phone, phone.Behaviour{})
	s.leg = s.office.offer().Leg
}

// is waits until Telegram sees the call so.
func (s *scene) is(want cloud.CallState) {
	s.t.Helper()
	eventually(s.t, func() error {
		if got := s.lastCall().State; got != want {
			return fmt.Errorf("call is %s, want %s", got, want)
		}
		return nil
	})
}
