package esl_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing"
)

// ownFreeSWITCH starts one for a test that breaks it.
func ownFreeSWITCH(t *testing.T, verto bool) *freeswitch {
	t.Helper()
	fs, err := newFreeSWITCH(binary(t), verto)
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fs.remove)
	return fs
}

// dialEcho brings a call into the dialplan's echo.
func (r *rig) dialEcho() (bridge.Leg, media.Flow) {
	r.t.Helper()
	leg := r.link.Dial(r.t.Context(), routing.Target{Extension: "echo"})
	next[bridge.Answered](r.t, leg)
	return leg, next[bridge.Media](r.t, leg).Flow
}

// TestEventSocketReload: calls live through a reload of mod_event_socket, audio without a break.
func TestEventSocketReload(t *testing.T) {
	fs := ownFreeSWITCH(t, true)
	r := newRig(t, fs)
	leg, flow := r.dialEcho()
	s := speak(t, flow, 700)
	s.hears(t, 700)
	_, _ = fs.api("reload mod_event_socket")
	eventually(t, "disconnected", func() bool { return !r.link.Connected() })
	eventually(t, "connected again", r.link.Connected)
	s.forget()
	s.hears(t, 700)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// proxy passes connections on until it is cut.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newProxy(t *testing.T, port int) *proxy {
	t.Helper()
	return newProxyAt(t, "127.0.0.1:0", port)
}

func newProxyAt(t *testing.T, address string, port int) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				_ = near.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); p.cut() })
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// TestWebSocketLost: a call to an endpoint whose WebSocket breaks, more than once, gets audio again; its party notices a
// moment of silence only. One into the dialplan ends.
func TestWebSocketLost(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	p := newProxy(t, fs.ports.verto)
	o := fs.options()
	o.Verto.URL = "ws://" + p.listener.Addr().String()
	r := newRigWith(t, fs, o)
	leg := r.link.Dial(t.Context(), routing.Target{Endpoint: "loopback/echo/lab"})
	next[bridge.Answered](t, leg)
	flow := next[bridge.Media](t, leg).Flow
	for range 3 {
		hearTone(t, flow)
		p.cut()
		began := time.Now()
		flow = next[bridge.Media](t, leg).Flow
		t.Logf("audio was there again after %v", time.Since(began))
	}
	hearTone(t, flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)

	leg, _ = r.dialEcho()
	p.cut()
	ended(t, leg, bridge.MediaFailed)
}

// TestKilled: FreeSWITCH is killed with a live call and comes back; the call ends, and the next one works.
func TestKilled(t *testing.T) {
	fs := ownFreeSWITCH(t, true)
	r := newRig(t, fs)
	leg, _ := r.dialEcho()
	fs.stop()
	if err := fs.start(); err != nil {
		t.Fatal(err)
	}
	if end := ended(t, leg, bridge.MediaFailed); end.Err == nil {
		t.Error("nothing says that the connection was lost")
	}
	eventually(t, "connected again", r.link.Connected)
	leg, flow := r.dialEcho()
	hearTone(t, flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
}

// TestParkedBefore: a caller who was parked while nobody was there is taken as soon as somebody is.
func TestParkedBefore(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	if _, err := fs.api("bgapi originate {originate_timeout=20,ignore_early_media=true}loopback/5001/in/XML &park()"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "parked", func() bool { out, _ := fs.api("show channels"); return strings.Contains(out, "park") })
	r := newRig(t, fs)
	o := r.offer()
	if o.Dialled != "5001" {
		t.Errorf("dialled %q", o.Dialled)
	}
	o.Leg.Answer()
	next[bridge.Answered](t, o.Leg)
	o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, o.Leg, bridge.Normal)
}

// TestAbsent: with nobody there the dialplan's park ends by itself.
func TestAbsent(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	began := time.Now()
	out, err := fs.api("originate {originate_timeout=20,ignore_early_media=true}loopback/8001/lab/XML &park()")
	if err != nil || !strings.Contains(out, "NORMAL_TEMPORARY_FAILURE") || time.Since(began) > 10*time.Second {
		t.Errorf("%q, %v after %v", out, err, time.Since(began))
	}
}

// TestUnicast: without mod_verto calls go by the fallback, and the log says which line is missing.
func TestUnicast(t *testing.T) {
	fs := ownFreeSWITCH(t, false)
	var said strings.Builder // read once nothing writes any more
	o := fs.options()
	o.Log = slog.New(slog.NewTextHandler(io.MultiWriter(&said, t.Output()), nil))
	r := newRigWith(t, fs, o)
	leg, flow := r.dialEcho()
	if f := flow.Format(); f.Codec != media.L16 || f.Rate != 8000 {
		t.Errorf("format %+v", f)
	}
	hearTone(t, flow)
	leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, leg, bridge.Normal)
	r.stop()
	for _, want := range []string{`level=WARN msg="audio goes by the fallback"`, `way="unicast, L16/8000"`, "mod_verto is not loaded: add",
		`<load module=\"mod_verto\"/> to autoload_configs/modules.conf.xml, then \"load mod_verto\"`} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, said.String())
		}
	}
}

// TestSocketApplication: the other way in behaves as the first.
func TestSocketApplication(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	o := fs.options()
	o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", fs.ports.socket), Password: "sesame"}
	r := newRigWith(t, fs, o)
	const call = "bgapi originate {ignore_early_media=true,originate_timeout=20}loopback/%s/lab/XML &park()"
	r.api(fmt.Sprintf(call, "7001"))
	offer := r.offer()
	if offer.Dialled != "7001" {
		t.Errorf("dialled %q", offer.Dialled)
	}
	offer.Leg.Ring()
	offer.Leg.Hangup(bridge.CauseOf(bridge.NotFound))
	ended(t, offer.Leg, bridge.NotFound)
	if got := r.noted("7001"); got != "CHANUNAVAIL:NOT_ON_TELEGRAM:1:" {
		t.Errorf("the dialplan knows %q", got)
	}
	r.api(fmt.Sprintf(call, "7002"))
	offer = r.offer()
	offer.Leg.Answer()
	next[bridge.Answered](t, offer.Leg)
	next[bridge.Media](t, offer.Leg)
	offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
	ended(t, offer.Leg, bridge.Normal)
}

// TestSocketNeedsAsync: a dialplan that forgot async gets the call back at once, unanswered, instead of a caller who hears
// nothing.
func TestSocketNeedsAsync(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{}, func(o *esl.Options) {
		o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", sharedFreeSWITCH(t).ports.socket), Password: "sesame"}
	})
	c := call(t, phone, "6001")
	if o, err := c.WaitOver(soon(t)); err != nil || o.Status != 503 || !o.Answered.IsZero() {
		t.Errorf("phone sees %+v, %v", o, err)
	}
	if len(r.offers) != 0 {
		t.Error("a call is offered")
	}
}

// TestSentOn: a party who is sent to another extension is let be, even where that parks it; and where it is an extension of
// ours, that is another call.
func TestSentOn(t *testing.T) {
	r, phone := newPhoneRig(t, lab.PhoneOptions{Tone: 600}, func(o *esl.Options) {
		o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", sharedFreeSWITCH(t).ports.socket), Password: "sesame"}
	})
	t.Run("to a park of others", func(t *testing.T) {
		c := call(t, phone, "5001")
		o := r.offer()
		o.Leg.Answer()
		next[bridge.Answered](t, o.Leg)
		r.api("uuid_transfer " + o.Variables["PBX_CHANNEL_ID"] + " hold XML lab")
		ended(t, o.Leg, bridge.Normal)
		if out, err := c.WaitOver(soon(t)); err != nil || out.Q850() != 16 { // of its own park_timeout; ours would be another
			t.Errorf("phone sees %+v, %v", out, err)
		}
	})
	t.Run("to a park of others, while it rings", func(t *testing.T) {
		c := call(t, phone, "5001")
		o := r.offer()
		o.Leg.Ring()
		r.api("uuid_transfer " + o.Variables["PBX_CHANNEL_ID"] + " hold XML lab")
		ended(t, o.Leg, bridge.Cancelled)
		if out, err := c.WaitOver(soon(t)); err != nil || out.Status != 480 { // of its own park_timeout
			t.Errorf("phone sees %+v, %v", out, err)
		}
		if len(r.offers) != 0 {
			t.Error("a call is offered that was for somebody else")
		}
	})
	t.Run("to us, who had called the phone", func(t *testing.T) {
		leg := r.link.Dial(t.Context(), routing.Target{Endpoint: "sofia/internal/alice@" + phone.Addr()})
		c, err := phone.NextCall(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		answered(t, leg)
		next[bridge.Media](t, leg)
		r.api("uuid_transfer " + leg.ID() + "-out 5002 XML lab")
		ended(t, leg, bridge.Normal)
		second := r.offer()
		if second.Dialled != "5002" {
			t.Errorf("offer %+v", second.Request)
		}
		second.Leg.Answer()
		next[bridge.Answered](t, second.Leg)
		s := speak(t, next[bridge.Media](t, second.Leg).Flow, 900)
		if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
			t.Error(err)
		}
		s.stop()
		second.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		ended(t, second.Leg, bridge.Normal)
		if _, err := c.WaitOver(soon(t)); err != nil {
			t.Error(err)
		}
	})
	t.Run("the other half", func(t *testing.T) {
		c := call(t, phone, "5001")
		o := r.offer()
		o.Leg.Answer()
		next[bridge.Answered](t, o.Leg)
		s := speak(t, next[bridge.Media](t, o.Leg).Flow, 900)
		r.api("uuid_transfer " + o.Variables["PBX_CHANNEL_ID"] + " -bleg tone XML lab")
		s.hears(t, 1004)
		began := time.Now()
		if out, err := c.WaitOver(soon(t)); err != nil || out.Q850() != 16 {
			t.Errorf("phone sees %+v, %v", out, err)
		}
		t.Log("the phone was free after", time.Since(began))
		s.forget()
		s.hears(t, 1004)
		s.stop()
		o.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		ended(t, o.Leg, bridge.Normal)
	})
	t.Run("to another party, while it rings", func(t *testing.T) {
		c := call(t, phone, "5001")
		o := r.offer()
		o.Leg.Ring()
		r.api("uuid_transfer " + o.Variables["PBX_CHANNEL_ID"] + " tone XML lab")
		ended(t, o.Leg, bridge.Cancelled)
		if _, err := c.Audio().WaitTone(soon(t), 1004, time.Second); err != nil {
			t.Error(err)
		}
		c.Hangup()
	})
	for _, to := range []struct {
		number   string
		answered bool
	}{{"5002", true}, {"5002", false}, {"7003", true}, {"7003", false}} {
		t.Run(fmt.Sprintf("to us at %s, answered %v", to.number, to.answered), func(t *testing.T) {
			c := call(t, phone, "5001")
			o := r.offer()
			reason := bridge.Cancelled
			if o.Leg.Ring(); to.answered {
				o.Leg.Answer()
				next[bridge.Answered](t, o.Leg)
				reason = bridge.Normal
			}
			r.api("uuid_transfer " + o.Variables["PBX_CHANNEL_ID"] + " " + to.number + " XML lab")
			ended(t, o.Leg, reason)
			second := r.offer()
			if second.Dialled != to.number || second.Caller.Number != "200" {
				t.Errorf("offer %+v", second.Request)
			}
			second.Leg.Answer()
			next[bridge.Answered](t, second.Leg)
			s := speak(t, next[bridge.Media](t, second.Leg).Flow, 900)
			s.hears(t, 600)
			if _, err := c.Audio().WaitTone(soon(t), 900, time.Second); err != nil {
				t.Error(err)
			}
			s.stop()
			second.Leg.Hangup(bridge.CauseOf(bridge.Normal))
			ended(t, second.Leg, bridge.Normal)
			if _, err := c.WaitOver(soon(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSocketDropped: the connection of the socket application breaks while it rings; the dialplan goes on with the caller,
// and nobody here touches the call any more.
func TestSocketDropped(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	inside, err := lab.FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	p := newProxyAt(t, fmt.Sprintf("127.0.0.1:%d", fs.ports.socket), inside)
	r, phone := newPhoneRig(t, lab.PhoneOptions{}, func(o *esl.Options) {
		o.Socket = esl.SocketOptions{Listen: fmt.Sprintf("127.0.0.1:%d", inside), Password: "sesame"}
	})
	c := call(t, phone, "7009")
	o := r.offer()
	o.Leg.Ring()
	p.cut()
	ended(t, o.Leg, bridge.Cancelled)
	if out, err := c.WaitOver(soon(t)); err != nil || out.Status == 200 {
		t.Errorf("phone sees %+v, %v", out, err)
	}
	_ = p.listener.Close()
}

// TestProcessKilled: what a process that was killed left behind is ended by the next one.
func TestProcessKilled(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	o := fs.options()
	o.App = "other"
	r := startRig(t, fs, o)
	id := esl.OrphanOf("other")
	if out := r.api("originate {origination_uuid=" + id + "}loopback/echo/lab/XML &park()"); !strings.HasPrefix(out, "+OK") {
		t.Fatal(out)
	}
	r.stop()
	eventually(t, "orphan is there", func() bool { return strings.Contains(r.fsChannels(), id) })
	_ = newRigWith(t, fs, o)
	eventually(t, "orphan is gone", func() bool { return !strings.Contains(r.fsChannels(), id) })
}

// TestDigits: digits reach the dialplan, and come from it.
func TestDigits(t *testing.T) {
	r := newRig(t, sharedFreeSWITCH(t))
	leg := r.link.Dial(t.Context(), routing.Target{Extension: "pin"})
	next[bridge.Answered](t, leg)
	speak(t, next[bridge.Media](t, leg).Flow, 0)
	time.Sleep(300 * time.Millisecond) // the dialplan begins to listen, and nothing tells when
	for _, d := range []byte("1*47") {
		leg.(bridge.ToneSender).SendDigit(d)
	}
	if got := r.noted("pin"); got != "1*47" {
		t.Errorf("the dialplan hears %q", got)
	}
	ended(t, leg, bridge.Normal)
}
