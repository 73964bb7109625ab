package lab

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/tgtrunk/tgtrunk/media"
)

// desk is an Asterisk with two phones: alice speaks µ-law and plays 700 Hz, bob speaks A-law and plays 1200 Hz.
type desk struct {
	asterisk   *Asterisk
	alice, bob *Phone
}

func newDesk(t *testing.T) desk {
	t.Helper()
	phone := func(o PhoneOptions) *Phone {
		p, err := NewPhone(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return p
	}
	d := desk{
		alice: phone(PhoneOptions{Name: "alice", Tone: 700, Codecs: []media.Codec{media.PCMU}}),
		bob:   phone(PhoneOptions{Name: "bob", Tone: 1200, Codecs: []media.Codec{media.PCMA}}),
	}
	d.asterisk = startAsterisk(t, AsteriskOptions{
		Endpoints: []SIPEndpoint{
			{Name: "alice", ContactPort: d.alice.Port()},
			{Name: "bob", ContactPort: d.bob.Port(), Codecs: []string{"alaw"}},
		},
		Dialplan: `exten => bob,1,Dial(PJSIP/bob,20)
 same => n,Hangup()
exten => who,1,Answer()
 same => n,Set(GLOBAL(WHO)=${CALLERID(num)}/${CALLERID(name)})
 same => n,Hangup()
exten => hash#1*,1,Hangup(17)
`,
	})
	d.alice.SetServer(d.asterisk.SIPAddr())
	d.bob.SetServer(d.asterisk.SIPAddr())
	return d
}

// within bounds one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, p *Phone, number string, o CallOptions) *PhoneCall {
	t.Helper()
	c, err := p.Call(t.Context(), number, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answered(t *testing.T, c *PhoneCall) {
	t.Helper()
	if err := c.WaitAnswered(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func over(t *testing.T, c *PhoneCall) Outcome {
	t.Helper()
	o, err := c.WaitOver(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if o.Err != nil {
		t.Errorf("call ended with an error: %v", o.Err)
	}
	return o
}

func heard(t *testing.T, c *PhoneCall, hz float64) ToneResult {
	t.Helper()
	r, err := c.Audio().WaitTone(within(t, 10*time.Second), hz, 500*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Dominant - hz; d < -5 || d > 5 {
		t.Errorf("strongest frequency is %.1f Hz, want %.0f", r.Dominant, hz)
	}
	return r
}

func TestPhone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, desk)
	}{
		{"echo", testEcho}, {"tone", testTone}, {"early media", testEarlyMedia}, {"wrong tone", testWrongTone},
		{"refusals", testRefusals}, {"cancel", testCancel}, {"far end hangs up", testFarEnd}, {"phone to phone", testPhoneToPhone},
		{"called phone refuses", testCalledRefuses}, {"caller gives up", testCallerGivesUp}, {"originate", testOriginate},
		{"digits", testDigits}, {"caller", testCaller}, {"hold", testHold}, {"transfer", testTransfer}, {"mute", testMute},
		{"context ends", testContextEnds}, {"called phone hangs up", testCalledHangsUp}, {"no codec", testNoCodec},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, d)
			if err := d.asterisk.WaitChannels(within(t, 5*time.Second), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func testEcho(t *testing.T, d desk) {
	c := dial(t, d.alice, "echo", CallOptions{})
	answered(t, c)
	heard(t, c, 700)
	c.Hangup()
	o := over(t, c)
	if o.Status != 200 || o.Answered.Before(o.Began) || o.FarEnd {
		t.Errorf("outcome %+v", o)
	}
	s := c.Audio().Stats()
	if s.PacketsSent < 20 || s.PacketsReceived < 20 || s.Strangers != 0 || s.FirstReceived.Before(s.FirstSent) {
		t.Errorf("stats %+v", s)
	}
	if first := c.Audio().Heard().Tone(700); c.Audio().Heard().Arrival(first.First).Before(o.Answered) {
		t.Errorf("the tone came at %s, before the answer at %s", c.Audio().Heard().Arrival(first.First), o.Answered)
	}
}

func testTone(t *testing.T, d desk) {
	for hz, number := range map[float64]string{1000: "tone", 440: "tone440", 1004: "milliwatt"} {
		c := dial(t, d.bob, number, CallOptions{})
		answered(t, c)
		heard(t, c, hz)
		c.Hangup()
		over(t, c)
	}
}

func testEarlyMedia(t *testing.T, d desk) {
	c := dial(t, d.alice, "early", CallOptions{})
	if _, err := c.Audio().WaitTone(within(t, 5*time.Second), 1000, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	o := c.Outcome()
	if o.Progress.IsZero() || !o.Answered.IsZero() || c.Audio().Stats().PacketsSent != 0 {
		t.Errorf("before the answer: %+v, %d packets sent", o, c.Audio().Stats().PacketsSent)
	}
	answered(t, c)
	c.Hangup()
	over(t, c)
}

func testWrongTone(t *testing.T, d desk) {
	c := dial(t, d.alice, "tone", CallOptions{})
	answered(t, c)
	heard(t, c, 1000)
	r := c.Audio().Heard().Tone(1500)
	if r.First != -1 || r.Clear() {
		t.Errorf("a tone of 1000 Hz passes for 1500 Hz: %s", r)
	}
	c.Hangup()
	over(t, c)
}

func testRefusals(t *testing.T, d desk) {
	for _, want := range []struct {
		number       string
		status, q850 int
	}{
		{"busy", 486, 17}, {"decline", 403, 21}, {"congestion", 503, 34}, {"noanswer", 480, 19}, {"nosuchnumber", 404, 0}, {"hash#1*", 486, 17},
	} {
		c := dial(t, d.alice, want.number, CallOptions{})
		o := over(t, c)
		if o.Status != want.status || o.Q850() != want.q850 || !o.FarEnd || !o.Answered.IsZero() {
			t.Errorf("%s: status %d, cause %d, %+v; want %d and %d", want.number, o.Status, o.Q850(), o, want.status, want.q850)
		}
		if err := c.WaitAnswered(t.Context()); !errors.Is(err, errNotAnswered) {
			t.Errorf("%s: wait for the answer: %v", want.number, err)
		}
	}
}

func testCancel(t *testing.T, d desk) {
	c := dial(t, d.alice, "ring", CallOptions{})
	if err := d.asterisk.WaitChannels(within(t, 5*time.Second), 1); err != nil {
		t.Fatal(err)
	}
	c.Hangup()
	o := over(t, c)
	if o.Status != 487 || o.Ringing.IsZero() || o.FarEnd {
		t.Errorf("outcome %+v", o)
	}
	c = dial(t, d.alice, "ring", CallOptions{})
	c.Hangup() // before anything came back
	if o := over(t, c); o.Status != 487 {
		t.Errorf("cancelled at once: %+v", o)
	}
}

func testFarEnd(t *testing.T, d desk) {
	c := dial(t, d.alice, "short", CallOptions{})
	answered(t, c)
	o := over(t, c)
	if !o.FarEnd || o.Q850() != 16 || o.Ended.Sub(o.Answered) < 900*time.Millisecond {
		t.Errorf("outcome %+v", o)
	}
}

func testPhoneToPhone(t *testing.T, d desk) {
	d.bob.SetAnswer(AnswerAfter(300 * time.Millisecond))
	c := dial(t, d.alice, "bob", CallOptions{FromNumber: "+4930123", FromName: "Алиса"})
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !in.Incoming() || in.Number() != "+4930123" || in.Name() != "Алиса" {
		t.Errorf("incoming call from %q %q", in.Number(), in.Name())
	}
	answered(t, c)
	heard(t, c, 1200)
	heard(t, in, 700)
	o := c.Outcome()
	if o.Ringing.IsZero() || o.Answered.Sub(o.Ringing) < 200*time.Millisecond {
		t.Errorf("rang at %s, answered at %s", o.Ringing, o.Answered)
	}
	c.Hangup()
	over(t, c)
	if o := over(t, in); !o.FarEnd || o.Status != 200 {
		t.Errorf("called side: %+v", o)
	}
}

func testCalledRefuses(t *testing.T, d desk) {
	for _, want := range []struct {
		status, seen, q850 int
	}{{486, 486, 17}, {603, 403, 21}, {480, 480, 19}} { // Asterisk makes cause 21 of 603, and 403 of that
		d.bob.SetAnswer(Refuse(want.status, 0))
		c := dial(t, d.alice, "bob", CallOptions{})
		in, err := d.bob.NextCall(within(t, 5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if o := over(t, in); o.Status != want.status {
			t.Errorf("called side: %+v", o)
		}
		o := over(t, c)
		if o.Status != want.seen || o.Q850() != want.q850 || !o.Answered.IsZero() {
			t.Errorf("caller: %+v, want %d, cause %d", o, want.seen, want.q850)
		}
	}
}

func testCallerGivesUp(t *testing.T, d desk) {
	d.bob.SetAnswer(RingForever())
	c := dial(t, d.alice, "bob", CallOptions{})
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	c.Hangup()
	if o := over(t, c); o.Status != 487 {
		t.Errorf("caller: %+v", o)
	}
	if o := over(t, in); o.Status != 487 || !o.FarEnd || !o.Answered.IsZero() {
		t.Errorf("called side: %+v", o)
	}
	// The other way round: the phone that rings is hung up by its owner.
	c = dial(t, d.alice, "bob", CallOptions{})
	if in, err = d.bob.NextCall(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	in.Hangup()
	if o := over(t, in); o.Status != 603 {
		t.Errorf("declined by hand: %+v", o)
	}
	over(t, c)
}

func testOriginate(t *testing.T, d desk) {
	d.bob.SetAnswer(AnswerAfter(0))
	if _, err := d.asterisk.CLI(t.Context(), "channel originate PJSIP/bob extension echo@lab"); err != nil {
		t.Fatal(err)
	}
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, in)
	heard(t, in, 1200)
	in.Hangup()
	over(t, in)
}

func testDigits(t *testing.T, d desk) {
	for digits, cause := range map[string]int{"2468": 16, "2469": 21} {
		c := dial(t, d.alice, "pin", CallOptions{})
		answered(t, c)
		if err := c.Audio().SendDigits(within(t, 5*time.Second), digits); err != nil {
			t.Fatal(err)
		}
		if o := over(t, c); o.Q850() != cause {
			t.Errorf("after %s: %+v", digits, o)
		}
	}
	c := dial(t, d.alice, "digits", CallOptions{})
	answered(t, c)
	got, err := c.Audio().WaitDigits(within(t, 5*time.Second), 4)
	if err != nil || got != "159#" {
		t.Errorf("digits %q, %v", got, err)
	}
	for _, digit := range c.Audio().Digits() {
		if digit.Duration < 50*time.Millisecond || digit.Duration > 500*time.Millisecond {
			t.Errorf("digit %+v", digit)
		}
	}
	c.Hangup()
	over(t, c)
	if err := c.Audio().SendDigits(within(t, time.Second), "1"); err == nil {
		t.Error("digits went out after the end")
	}
}

func testCaller(t *testing.T, d desk) {
	c := dial(t, d.alice, "who", CallOptions{FromNumber: "5551234", FromName: "Алиса"})
	over(t, c)
	out, err := d.asterisk.CLI(t.Context(), "dialplan show globals")
	if err != nil || !strings.Contains(out, "WHO=5551234/Алиса") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := d.alice.Call(t.Context(), "who", CallOptions{FromName: "a\"\r\nX: y"}); err == nil {
		t.Error("a name with a line end was sent")
	}
}

func testHold(t *testing.T, d desk) {
	d.bob.SetAnswer(AnswerAfter(0))
	c := dial(t, d.alice, "bob", CallOptions{})
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, c)
	answered(t, in)
	heard(t, in, 700)
	for _, hold := range []bool{true, false} {
		if err := c.Hold(within(t, 5*time.Second), hold); err != nil {
			t.Fatal(err)
		}
	}
	heard(t, in, 700)
	heard(t, c, 1200)
	if err := in.Hold(within(t, 5*time.Second), true); err != nil {
		t.Fatal(err)
	}
	in.Hangup()
	over(t, in)
	over(t, c)
}

func testTransfer(t *testing.T, d desk) {
	d.bob.SetAnswer(AnswerAfter(0))
	c := dial(t, d.alice, "bob", CallOptions{})
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, c)
	answered(t, in)
	heard(t, c, 1200)
	if err := in.Transfer(within(t, 5*time.Second), "nosuchnumber"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("transfer to nobody: %v", err)
	}
	heard(t, c, 1200)
	if err := in.Transfer(within(t, 5*time.Second), "tone440"); err != nil {
		t.Fatal(err)
	}
	heard(t, c, 440)
	over(t, in)
	c.Hangup()
	over(t, c)
}

func testMute(t *testing.T, d desk) {
	c := dial(t, d.alice, "echo", CallOptions{})
	answered(t, c)
	heard(t, c, 700)
	c.Audio().Mute()
	before := c.Audio().Stats().PacketsSent
	<-time.After(200 * time.Millisecond)
	if sent := c.Audio().Stats().PacketsSent - before; sent > 1 {
		t.Errorf("%d packets from a muted phone", sent)
	}
	c.Audio().PlayTone(900)
	c.Audio().Forget()
	heard(t, c, 900)
	c.Hangup()
	over(t, c)
}

func testContextEnds(t *testing.T, d desk) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := d.alice.Call(ctx, "echo", CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answered(t, c)
	cancel()
	over(t, c)
}

func testCalledHangsUp(t *testing.T, d desk) {
	d.bob.SetAnswer(AnswerAfter(0))
	c := dial(t, d.alice, "bob", CallOptions{Headers: []sip.Header{sip.NewHeader("X-Any", "thing")}})
	in, err := d.bob.NextCall(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, c)
	answered(t, in)
	in.Hangup()
	if o := over(t, in); o.FarEnd {
		t.Errorf("called side: %+v", o)
	}
	if o := over(t, c); !o.FarEnd || o.Q850() != 16 {
		t.Errorf("caller: %+v", o)
	}
}

func testNoCodec(t *testing.T, d desk) {
	// bob's endpoint allows A-law only.
	p, err := NewPhone(PhoneOptions{Name: "bob", Codecs: []media.Codec{media.PCMU}, Server: d.asterisk.SIPAddr()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if o := over(t, dial(t, p, "echo", CallOptions{})); o.Status != 488 {
		t.Errorf("outcome %+v", o)
	}
}
