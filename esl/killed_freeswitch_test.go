package esl_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/lab"
)

// ownerVar makes the test's binary a process that serves the application of a FreeSWITCH: what it holds is the address of
// the event socket and the URL of mod_verto.
const ownerVar = "TGTRUNK_TEST_OWNER"

// serveAsOwner rings for every call, says so on standard output, and lives until standard input ends or it is killed.
func serveAsOwner() int {
	address, url, _ := strings.Cut(os.Getenv(ownerVar), " ")
	link, err := esl.New(esl.Options{Name: "pbx", Address: address, Password: password, Context: "lab",
		Verto: esl.VertoOptions{URL: url, Login: "tgtrunk@tgtrunk.local", Password: vertoPassword}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	go func() {
		for !link.Connected() {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("serves")
	}()
	err = link.Run(ctx, func(o bridge.Offer) {
		o.Leg.Ring()
		fmt.Println("rings", o.Dialled)
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// owner is another process that serves the application.
type owner struct {
	t    *testing.T
	cmd  *exec.Cmd
	said *bufio.Scanner
}

func startOwner(t *testing.T, fs *freeswitch) *owner {
	t.Helper()
	o := &owner{t: t, cmd: exec.Command(os.Args[0])}
	o.cmd.Env = append(os.Environ(), ownerVar+"="+fs.ESLAddr()+" "+fs.VertoURL())
	o.cmd.Stderr = t.Output()
	_, err := o.cmd.StdinPipe() // ends with this process
	if err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.said = bufio.NewScanner(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.kill)
	o.says("serves")
	return o
}

// says waits for a line.
func (o *owner) says(want string) {
	o.t.Helper()
	limit := time.AfterFunc(15*time.Second, o.kill)
	defer limit.Stop()
	if !o.said.Scan() || o.said.Text() != want {
		o.t.Fatalf("the other process says %q, want %q", o.said.Text(), want)
	}
}

// kill ends it as kill -9 does.
func (o *owner) kill() {
	_ = o.cmd.Process.Kill()
	_ = o.cmd.Wait()
}

// TestOwnerKilledOnFreeSWITCH: the process that serves the application is killed while one caller rings; another calls
// while nobody is there. Who stands by serves both. (The park of these lasts longer than that of the dialplan as it is delivered,
// for machines that are busy; of that TestTakenOverInTime tells.)
func TestOwnerKilledOnFreeSWITCH(t *testing.T) {
	fs := sharedFreeSWITCH(t)
	o := startOwner(t, fs)
	d := &desk{rig: standBy(t, fs, fs.options())}
	d.openPhones(lab.PhoneOptions{}, lab.PhoneOptions{})
	eventually(t, "the owner names its WebSocket", func() bool {
		return strings.HasSuffix(d.api("global_getvar tgtrunk_owner_tgtrunk"), "/tgtrunk@tgtrunk.local")
	})
	before := call(t, d.alice, "gap-4711")
	o.says("rings 4711")
	time.Sleep(3 * time.Second) // nothing tells that who stands by does nothing
	if d.link.Connected() || len(d.offers) != 0 {
		t.Fatal("two processes serve the application")
	}

	o.kill()
	killed := time.Now()
	after := call(t, d.bob, "gap-4712")
	phones := map[string]*lab.PhoneCall{"4711": before, "4712": after}
	offers := []bridge.Offer{d.offer(), d.offer()}
	t.Logf("both calls are offered %v after the owner was killed", time.Since(killed))
	for _, offer := range offers {
		phone, tone := phones[offer.Dialled], float64(aliceTone)
		if phone == after {
			tone = bobTone
		}
		offer.Leg.Ring()
		offer.Leg.Answer()
		next[bridge.Answered](t, offer.Leg)
		s := speak(t, next[bridge.Media](t, offer.Leg).Flow, ourTone)
		if err := phone.WaitAnswered(soon(t)); err != nil {
			t.Fatal(err)
		}
		s.hears(t, tone)
		phoneHears(t, phone, ourTone)
		s.stop()
		offer.Leg.Hangup(bridge.CauseOf(bridge.Normal))
		ended(t, offer.Leg, bridge.Normal)
	}
}
