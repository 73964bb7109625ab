package esl_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/routing"
)

// featureDialplan is what an administrator's dialplan has for the features that are his business. to<port> calls a phone.
const featureDialplan = `
  <extension name="gap"><condition field="destination_number" expression="^gap-(.+)$">
    <action application="transfer" data="$1 XML in"/>
  </condition></extension>
  <extension name="to"><condition field="destination_number" expression="^to(\d+)$">
    <action application="bridge" data="sofia/internal/phone@127.0.0.1:$1"/>
  </condition></extension>
  <extension name="recorded"><condition field="destination_number" expression="^record(.+)$">
    <action application="record_session" data="@DIR@/recorded.wav"/>
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="tgtrunk_dialled=$1"/>
    <action application="set" data="park_timeout=5:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="updates"><condition field="destination_number" expression="^updates(.+)$">
    <action application="set" data="update_ignore_ua=true"/>
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="tgtrunk_dialled=$1"/>
    <action application="set" data="park_timeout=5:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="updates-to"><condition field="destination_number" expression="^uto(\d+)$">
    <action application="bridge" data="{update_ignore_ua=true}sofia/internal/phone@127.0.0.1:$1"/>
  </condition></extension>
  <extension name="ringback"><condition field="destination_number" expression="^ringback(.+)$">
    <action application="set" data="ringback=%(2000,200,500)"/>
    <action application="set" data="tgtrunk_app=tgtrunk"/>
    <action application="set" data="tgtrunk_dialled=$1"/>
    <action application="set" data="park_timeout=5:NORMAL_TEMPORARY_FAILURE"/>
    <action application="park"/>
  </condition></extension>
  <extension name="recorded-to"><condition field="destination_number" expression="^rto(\d+)$">
    <action application="record_session" data="@DIR@/recorded.wav"/>
    <action application="bridge" data="sofia/internal/phone@127.0.0.1:$1"/>
  </condition></extension>
  <extension name="listen"><condition field="destination_number" expression="^listen-(.+)$">
    <action application="answer"/><action application="eavesdrop" data="$1"/>
  </condition></extension>
  <extension name="conference"><condition field="destination_number" expression="^conference(\d+)$">
    <action application="answer"/><action application="conference" data="$1@lab"/>
  </condition></extension>
`

const featureConference = `<configuration name="conference.conf"><advertise/><caller-controls><group name="default"/></caller-controls><profiles>
  <profile name="lab"><param name="rate" value="16000"/><param name="interval" value="20"/><param name="energy-level" value="0"/><param name="comfort-noise" value="false"/></profile>
 </profiles></configuration>`

// The tones of a call: what our side plays, what the first phone plays, and the second one.
const (
	ourTone   = 900
	aliceTone = 600
	bobTone   = 1300
)

// desk is a link with two phones.
type desk struct {
	*rig
	alice, bob *lab.Phone
}

func newDesk(t *testing.T, alice, bob lab.PhoneOptions) *desk {
	t.Helper()
	return newDeskWith(t, sharedFreeSWITCH(t).options(), alice, bob)
}

func newDeskWith(t *testing.T, o esl.Options, alice, bob lab.PhoneOptions) *desk {
	t.Helper()
	d := &desk{rig: newRigWith(t, sharedFreeSWITCH(t), o)}
	d.openPhones(alice, bob)
	return d
}

func (d *desk) openPhones(alice, bob lab.PhoneOptions) {
	t := d.t
	t.Helper()
	open := func(o lab.PhoneOptions, name string, hz float64) *lab.Phone {
		o.Name, o.Tone, o.Server = name, hz, fmt.Sprintf("127.0.0.1:%d", d.fs.ports.sip)
		phone, err := lab.NewPhone(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(phone.Close)
		return phone
	}
	d.alice, d.bob = open(alice, "alice", aliceTone), open(bob, "bob", bobTone)
}

func extensionOf(phone *lab.Phone) string { return fmt.Sprint("to", phone.Port()) }

// conversation is a call between us and alice.
type conversation struct {
	*desk
	leg   bridge.Leg
	flow  media.Flow
	s     *speaker
	phone *lab.PhoneCall
}

// direction is a way to come to talk with alice.
type direction struct {
	name  string
	begin func(d *desk, prepare func(*speaker)) *conversation
}

var directions = []direction{
	{"from the dialplan", (*desk).answerAlice},
	{"to a phone", func(d *desk, prepare func(*speaker)) *conversation {
		return d.dialAlice(routing.Target{Endpoint: "sofia/internal/alice@" + d.alice.Addr()}, prepare)
	}},
	{"into the dialplan", func(d *desk, prepare func(*speaker)) *conversation {
		return d.dialAlice(routing.Target{Extension: extensionOf(d.alice)}, prepare)
	}},
}

// everyDirection runs a test for calls from the dialplan, to a phone, and into the dialplan.
func everyDirection(t *testing.T, test func(t *testing.T, talk *conversation)) {
	for _, direction := range directions {
		t.Run(direction.name, func(t *testing.T) {
			talk := direction.begin(newDesk(t, lab.PhoneOptions{}, lab.PhoneOptions{}), nil)
			talk.bothHear(t)
			test(t, talk)
			talk.end(t)
		})
	}
}

// answerAlice has alice call us.
func (d *desk) answerAlice(prepare func(*speaker)) *conversation {
	d.t.Helper()
	return d.answer("5001", prepare)
}

func (d *desk) answer(number string, prepare func(*speaker)) *conversation {
	d.t.Helper()
	c := call(d.t, d.alice, number)
	talk := &conversation{desk: d, leg: d.offer().Leg, phone: c}
	talk.leg.Answer()
	next[bridge.Answered](d.t, talk.leg)
	return talk.connected(prepare)
}

// dialAlice calls alice.
func (d *desk) dialAlice(to routing.Target, prepare func(*speaker)) *conversation {
	d.t.Helper()
	to.Timeout, to.Caller = 10*time.Second, routing.Party{Number: "+4930123", Name: "Zoë"}
	talk := &conversation{desk: d, leg: d.link.Dial(d.t.Context(), to)}
	answered(d.t, talk.leg)
	c, err := d.alice.NextCall(soon(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	talk.phone = c
	return talk.connected(prepare)
}

func (talk *conversation) connected(prepare func(*speaker)) *conversation {
	t := talk.t
	t.Helper()
	talk.flow = next[bridge.Media](t, talk.leg).Flow
	talk.s = speakWith(t, talk.flow, ourTone, prepare)
	if err := talk.phone.WaitAnswered(soon(t)); err != nil {
		t.Fatal(err)
	}
	return talk
}

// media is the uuid of our media channel.
func (talk *conversation) media() string { return talk.leg.ID() + "-media1" }

// channel is the uuid of the channel that our media channel is bridged with.
func (talk *conversation) channel() string {
	return talk.api("uuid_getvar " + talk.media() + " bridge_uuid")
}

func phoneHears(t *testing.T, c *lab.PhoneCall, hz float64) {
	t.Helper()
	if _, err := c.Audio().WaitTone(soon(t), hz, time.Second); err != nil {
		t.Error(err)
	}
}

func (talk *conversation) bothHear(t *testing.T) {
	t.Helper()
	talk.s.hears(t, aliceTone)
	phoneHears(t, talk.phone, ourTone)
}

// end hangs up from our side.
func (talk *conversation) end(t *testing.T) {
	t.Helper()
	talk.leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, talk.leg, bridge.Normal)
}

// mixture reports whether sound is these tones and nothing else.
func mixture(pcm []int16, rate int, tones ...float64) bool {
	sum := 0.0
	for _, hz := range tones {
		sum += tone.Purity(pcm, rate, hz)
		if tone.Level(pcm, rate, hz) < 500 {
			return false
		}
	}
	return sum > 0.95
}

// phoneHearsAll waits until a phone hears these tones at once, and nothing else.
func phoneHearsAll(t *testing.T, c *lab.PhoneCall, tones ...float64) {
	t.Helper()
	hearAll(t, 8000, func(n int) []int16 {
		pcm := c.Audio().Heard().PCM
		return pcm[max(0, len(pcm)-n):]
	}, tones)
}

// hearsAll waits until our side hears these tones at once, and nothing else.
func (s *speaker) hearsAll(t *testing.T, tones ...float64) {
	t.Helper()
	hearAll(t, s.rate, s.heard, tones)
}

func hearAll(t *testing.T, rate int, newest func(n int) []int16, tones []float64) {
	t.Helper()
	var pcm []int16
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if pcm = newest(rate / 2); len(pcm) == rate/2 && mixture(pcm, rate, tones...) {
			return
		}
	}
	var levels []string
	for _, hz := range tones {
		levels = append(levels, fmt.Sprintf("%.0f Hz: purity %.3f, level %.0f", hz, tone.Purity(pcm, rate, hz), tone.Level(pcm, rate, hz)))
	}
	t.Errorf("not heard together: %s; %d samples, the strongest is %.0f Hz", strings.Join(levels, "; "), len(pcm), tone.Dominant(pcm, rate))
}
