package ari_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// featuresDialplan has what offices do with calls. Everything is Asterisk's; the tests see that a call of ours is one
// like every other to it.
const featuresDialplan = `
[features]
include => parkedcalls
exten => record,1,MixMonitor(@DIR@/mixed.wav,r(@DIR@/their.wav)t(@DIR@/our.wav))
 same => n,Dial(PJSIP/alice,30)
exten => queue,1,Queue(agents,r,,,20)
exten => plain,1,Dial(PJSIP/alice,30)
exten => spy,1,ChanSpy(PJSIP/alice,q)
exten => whisper,1,ChanSpy(PJSIP/alice,qw)
exten => park,1,Answer()
 same => n,Park(default,s)
exten => room,1,Answer()
 same => n,Set(CONFBRIDGE(user,quiet)=yes)
 same => n,ConfBridge(room)
`

const featuresQueue = `[general]
[agents]
strategy=ringall
timeout=15
member => PJSIP/bob
`

// The tones by which everybody is known.
const (
	telegramHz, aliceHz, bobHz, carolHz = 900.0, 600.0, 1300.0, 1700.0
)

// features is an Asterisk with three phones and a call of ours.
type features struct {
	*rig
	dir    string
	phones map[string]*lab.Phone
}

func newFeatures(t *testing.T) *features {
	t.Helper()
	dir, err := os.MkdirTemp("", "ari") // t.TempDir is too long for a control socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &features{dir: filepath.Join(dir, "a"), phones: map[string]*lab.Phone{}}
	var endpoints []lab.SIPEndpoint
	for name, hz := range map[string]float64{"alice": aliceHz, "bob": bobHz, "carol": carolHz} {
		phone, err := lab.NewPhone(lab.PhoneOptions{Name: name, Tone: hz})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(phone.Close)
		f.phones[name] = phone
		endpoints = append(endpoints, lab.SIPEndpoint{Name: name, Context: "features", ContactPort: phone.Port()})
	}
	a, err := lab.StartAsterisk(t.Context(), lab.AsteriskOptions{Dir: f.dir, Endpoints: endpoints,
		Dialplan: strings.ReplaceAll(featuresDialplan, "@DIR@", filepath.Join(f.dir, "spool", "monitor")),
		Files:    map[string]string{"queues.conf": featuresQueue}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	for _, phone := range f.phones {
		phone.SetServer(a.SIPAddr())
	}
	f.rig = newRig(t, a)
	return f
}

// enter brings a call from Telegram into an extension, and gives what it hears.
func (f *features) enter(t *testing.T, extension string) (leg bridge.Leg, heard *ear) {
	t.Helper()
	leg = f.link.Dial(t.Context(), routing.Target{Context: "features", Extension: extension})
	for {
		select {
		case e, open := <-leg.Events():
			if m, is := e.(bridge.Media); is {
				t.Cleanup(play(m.Flow, telegramHz, 6000))
				return leg, listen(m.Flow)
			}
			if end, is := e.(bridge.Ended); is || !open {
				t.Fatalf("call into %s ends: %+v", extension, end)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("call into %s does not come up", extension)
		}
	}
}

// call lets a phone dial.
func (f *features) call(t *testing.T, phone, number string) *lab.PhoneCall {
	t.Helper()
	c, err := f.phones[phone].Call(t.Context(), number, lab.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.WaitAnswered(soon(t)); err != nil {
		t.Fatalf("%s dials %s: %v", phone, number, err)
	}
	return c
}

func (f *features) rung(t *testing.T, phone string) *lab.PhoneCall {
	t.Helper()
	c, err := f.phones[phone].NextCall(soon(t))
	if err != nil {
		t.Fatalf("%s is not rung: %v", phone, err)
	}
	return c
}

// tonesOf says which of our tones are in some sound, and whether there is hardly anything else.
func tonesOf(pcm []int16) string {
	said, share := "", 0.0
	for _, who := range []struct {
		name string
		hz   float64
	}{{"telegram", telegramHz}, {"alice", aliceHz}, {"bob", bobHz}, {"carol", carolHz}} {
		if tone.Level(pcm, 8000, who.hz) > 1000 {
			said += who.name + " "
			share += tone.Purity(pcm, 8000, who.hz)
		}
	}
	if said != "" && share < 0.85 {
		said += fmt.Sprintf("and noise %.2f", 1-share)
	}
	return strings.TrimSpace(said)
}

// hears waits until the newest half second holds the tones of exactly these.
func hears(t *testing.T, who string, newest func(n int) []int16, want string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if pcm := newest(4000); len(pcm) == 4000 {
			if last = tonesOf(pcm); last == want {
				return
			}
		}
	}
	t.Errorf("%s hears %q, want %q", who, last, want)
}

func newestOf(c *lab.PhoneCall) func(n int) []int16 {
	return func(n int) []int16 {
		pcm := c.Audio().Heard().PCM
		return pcm[max(0, len(pcm)-n):]
	}
}

func (f *features) over(t *testing.T, leg bridge.Leg) {
	t.Helper()
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	f.nothingLeft()
}

// TestFeatures: what a PBX does with calls it does with those from Telegram, judged by who hears whom.
func TestFeatures(t *testing.T) {
	f := newFeatures(t)
	t.Run("MixMonitor", func(t *testing.T) {
		leg, heard := f.enter(t, "record")
		alice := f.rung(t, "alice")
		hears(t, "telegram", heard.tail, "alice")
		hears(t, "alice", newestOf(alice), "telegram")
		time.Sleep(1500 * time.Millisecond) // the length of the recording
		f.over(t, leg)
		for name, want := range map[string]string{"mixed": "telegram alice", "their": "telegram", "our": "alice"} {
			path := filepath.Join(f.dir, "spool", "monitor", name+".wav")
			var pcm []int16
			f.until("recording "+name, func() bool {
				var err error
				pcm, _, err = tone.LoadWAV(path, 8000)
				return err == nil && len(pcm) > 8000
			})
			middle := pcm[len(pcm)-7000 : len(pcm)-3000]
			if got := tonesOf(middle); got != want {
				t.Errorf("%s holds %q, want %q", path, got, want)
			}
		}
	})
	t.Run("Queue", func(t *testing.T) {
		leg, heard := f.enter(t, "queue")
		agent := f.rung(t, "bob")
		hears(t, "telegram", heard.tail, "bob")
		hears(t, "agent", newestOf(agent), "telegram")
		if out := f.cli("queue show agents"); !strings.Contains(out, "PJSIP/bob") {
			t.Errorf("queue: %s", out)
		}
		f.over(t, leg)
		if out := f.cli("queue show agents"); !strings.Contains(out, "C:1") {
			t.Errorf("the queue has not counted the call: %s", out)
		}
	})
	for _, spy := range []struct{ extension, alice string }{{"spy", "telegram"}, {"whisper", "telegram carol"}} {
		t.Run("ChanSpy "+spy.extension, func(t *testing.T) {
			leg, heard := f.enter(t, "plain")
			alice := f.rung(t, "alice")
			hears(t, "telegram", heard.tail, "alice")
			carol := f.call(t, "carol", spy.extension)
			hears(t, "carol, who listens", newestOf(carol), "telegram alice")
			hears(t, "alice", newestOf(alice), spy.alice)
			hears(t, "telegram", heard.tail, "alice")
			carol.Hangup()
			f.over(t, leg)
		})
	}
	t.Run("Park", func(t *testing.T) {
		leg, heard := f.enter(t, "park")
		f.until("parked", func() bool { return strings.Contains(f.cli("parking show default"), "Local/park@features") })
		bob := f.call(t, "bob", "701")
		hears(t, "telegram", heard.tail, "bob")
		hears(t, "bob, who fetched the call", newestOf(bob), "telegram")
		f.over(t, leg)
	})
	t.Run("ConfBridge", func(t *testing.T) {
		leg, heard := f.enter(t, "room")
		alice, bob := f.call(t, "alice", "room"), f.call(t, "bob", "room")
		hears(t, "telegram", heard.tail, "alice bob")
		hears(t, "alice", newestOf(alice), "telegram bob")
		hears(t, "bob", newestOf(bob), "telegram alice")
		alice.Hangup()
		hears(t, "telegram, when alice has gone", heard.tail, "bob")
		bob.Hangup()
		f.over(t, leg)
	})
}
