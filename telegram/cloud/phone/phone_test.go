package phone_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tgtrunk/tgtrunk/media/tone"
	"github.com/tgtrunk/tgtrunk/telegram/calls"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ann = cloud.User{ID: 7_000_001, Phone: "+49301000001", Username: "ann_lab", FirstName: "Ann", Code: "11111"}
	ben = cloud.User{ID: 7_000_002, Phone: "+49301000002", Username: "ben_lab", FirstName: "Ben", Code: "22222", Password: "second factor"}
)

// couple switches two phones on at a simulated Telegram of their own.
func couple(t *testing.T) (a, b *phone.Phone) {
	t.Helper()
	server, err := cloud.New(cloud.Options{Users: []cloud.User{ann, ben}})
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := voip.ListenNet(voip.NetOptions{Listen: "127.0.0.1:0", Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		sockets.Close()
	})
	on := func(u cloud.User) *phone.Phone {
		p, err := phone.New(phone.Options{Server: server.Addr().AddrPort(), Key: server.PublicKey(), DC: server.DC(), User: u, Net: sockets})
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- p.Run(ctx) }()
		select {
		case <-p.Ready():
		case <-time.After(time.Minute): // gotd's key exchange tests primes
			t.Fatalf("%s's phone is not on", u.FirstName)
		}
		return p
	}
	return on(ann), on(ben)
}

func voice(t *testing.T, hz float64) phone.Voice {
	t.Helper()
	v, err := phone.Tone(hz)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestPhonesTalkAndMute(t *testing.T) {
	a, b := couple(t)
	ctx := within(t)
	b.Behave(phone.Behaviour{After: 100 * time.Millisecond, Voice: voice(t, 1000)})
	out, err := a.CallUsername(ctx, ben.Username, phone.Behaviour{Voice: voice(t, 440)})
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Incoming(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	up := func(times phone.Times) time.Time { return times.Established }
	if !out.Reaches(ctx, up) || !in.Reaches(ctx, up) {
		t.Fatal("the call does not come up")
	}
	if out.Times().Received.IsZero() {
		t.Error("the caller does not hear it ring")
	}
	wait(t, 2*time.Second)
	for _, side := range []struct {
		name  string
		heard phone.Heard
		hz    float64
	}{{"caller", out.Heard(), 1000}, {"callee", in.Heard(), 440}} {
		samples := side.heard.Samples
		if purity := tone.Purity(samples[len(samples)/4:], 48_000, side.hz); purity < 0.9 {
			t.Errorf("%s hears %.0f Hz with purity %.2f", side.name, side.hz, purity)
		}
		// As native apps: 60 ms a packet, and about as many of padding only.
		if audio := len(samples) / 2880; side.heard.Packets < audio*3/2 || audio < 25 {
			t.Errorf("%s has got %d packets for %d of audio", side.name, side.heard.Packets, audio)
		}
	}

	in.Mute(true)
	wait(t, 200*time.Millisecond)
	before := out.Heard().Packets
	wait(t, 500*time.Millisecond)
	if now := out.Heard().Packets; now != before {
		t.Errorf("%d packets come from a muted phone", now-before)
	}
	in.Mute(false)
	wait(t, 500*time.Millisecond)
	if now := out.Heard().Packets; now == before {
		t.Error("nothing comes after the mute")
	}

	out.Hangup()
	for _, call := range []*phone.Call{out, in} {
		if ended, err := call.Wait(ctx); err != nil || ended.Reason != calls.Hangup {
			t.Errorf("a side ends with %v, %v", ended.Reason, err)
		}
	}
}

func TestPhoneDeclinesAndIgnores(t *testing.T) {
	a, b := couple(t)
	ctx := within(t)
	b.Behave(phone.Behaviour{Action: phone.Decline})
	declined, err := a.CallUsername(ctx, ben.Username, phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := declined.Wait(ctx); err != nil || ended.Reason != calls.Busy {
		t.Errorf("a declined call ends with %v, %v", ended.Reason, err)
	}
	b.Behave(phone.Behaviour{Action: phone.Ignore})
	ignored, err := a.CallUsername(ctx, ben.Username, phone.Behaviour{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.Incoming(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !ignored.Reaches(ctx, func(times phone.Times) time.Time { return times.Received }) {
		t.Error("an ignored call does not ring")
	}
	ignored.Hangup()
	if ended, err := in.Wait(ctx); err != nil || ended.Reason != calls.Missed {
		t.Errorf("a call that was given up ends with %v, %v", ended.Reason, err)
	}
}

func TestPhoneNeedsItsOptions(t *testing.T) {
	if _, err := phone.New(phone.Options{}); err == nil {
		t.Error("a phone without server, key and user is made")
	}
}

func TestUnknownUsernameIsNamed(t *testing.T) {
	a, _ := couple(t)
	if _, err := a.CallUsername(within(t), "nobody_lab", phone.Behaviour{}); err == nil {
		t.Error("an unknown username is called")
	}
}
