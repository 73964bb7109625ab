package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/store/storetest"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// phone logs in another device of the sales account, until the test ends.
func (o *office) phone() {
	o.t.Helper()
	p, err := phone.New(phone.Options{
		Server: o.server.Addr().AddrPort(), Key: o.server.PublicKey(), DC: o.server.DC(), Control: o.server.Control(),
		User: cloud.User{ID: salesID, Phone: "+99966150001", FirstName: "Sales", Code: "10001"},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(o.ctx)
	over := make(chan error, 1)
	go func() { over <- p.Run(ctx) }()
	o.t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			o.t.Error(err)
		}
	})
	select {
	case <-p.Ready():
	case <-o.ctx.Done():
		o.t.Fatal("the other device does not log in")
	}
}

var deviceRow = regexp.MustCompile(`(?m)^(\S.*?)  +(\S.*?)  +(\S.*?)  +(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)  +(ring|off)$`)

// wantDevices compares a printed list with what calls do on our device and on the other, and returns what is said below
// it.
func (o *office) wantDevices(said, ours, other string) (below string) {
	o.t.Helper()
	head, _, _ := strings.Cut(said, "\n")
	if got := strings.Join(strings.Fields(head), " "); got != "DEVICE APP COUNTRY LAST ACTIVE CALLS" {
		o.t.Errorf("the table begins with %q", got)
	}
	got := map[string]string{}
	for _, row := range deviceRow.FindAllStringSubmatch(said, -1) {
		got[row[1]] = row[5]
		if at, err := time.ParseInLocation(time.DateTime, row[4], time.Local); err != nil || time.Since(at).Abs() > time.Hour {
			o.t.Errorf("%s was active at %s", row[1], row[4])
		}
	}
	if len(got) != 2 || got["tgtrunk server (this one)"] != ours || got["simulated phone lab"] != other {
		o.t.Errorf("the devices are %v, want ours to %s and the other to %s:\n%s", got, ours, other, said)
	}
	lines := strings.SplitAfterN(said, "\n", 4)
	return lines[len(lines)-1]
}

// The account is logged in on another phone, where calls ring until they are stopped; a second time changes nothing, nor
// does it with the privacy; and while the service has the account nobody else gets it.
func TestAccountDevices(t *testing.T) {
	server := storetest.StartRedis(t)
	o := newOffice(t)
	path := o.configure("redis.yaml", fmt.Sprintf(`store: {redis: {url: "%s"}, key: "%s"}`, server.URL(), store.NewSecret()))
	on := func(args ...string) []string { return append(append([]string{"account"}, args...), "--config", path) }
	list, stop, privacy := on("devices", "sales"), on("devices", "sales", "--stop-calls"), on("privacy", "sales")

	for _, args := range [][]string{list, stop, privacy} {
		o.refused("account is not logged in: log it in by tgtrunk login --account sales", args...)
	}
	o.refused(`no account "sails"`, on("devices", "sails")...)
	o.must("10001\n", "login", "--account", "sales", "--config", path)
	o.phone()
	changes := func(method string) int { return o.server.Control().Queries(salesID, method) }

	if below := o.wantDevices(o.must("", list...), "ring", "ring"); below != "" {
		t.Errorf("below the list is %q", below)
	}
	if n := changes("account.changeAuthorizationSettings"); n != 0 {
		t.Errorf("looking has changed %d devices", n)
	}
	if below := o.wantDevices(o.must("", stop...), "ring", "off"); below != "calls were switched off: simulated phone lab (app 1)\n" {
		t.Errorf("stopping calls says %q", below)
	}
	if below := o.wantDevices(o.must("", stop...), "ring", "off"); below != "nothing had to be changed\n" {
		t.Errorf("stopping calls once more says %q", below)
	}
	o.wantDevices(o.must("", list...), "ring", "off")
	if n := changes("account.changeAuthorizationSettings"); n != 1 {
		t.Errorf("telegram was asked for %d changes of a device, want 1", n)
	}

	o.server.Control().SetPrivacy(salesID, cloud.Privacy{Calls: cloud.Contacts})
	for i, want := range []string{
		"calls from everybody: changed\ndirect calls auto: was so already\nno invitations to groups: changed\n",
		"calls from everybody: was so already\ndirect calls auto: was so already\nno invitations to groups: was so already\n",
	} {
		if said := o.must("", privacy...); said != want {
			t.Errorf("privacy, time %d, says %q, want %q", i+1, said, want)
		}
	}
	if n := changes("account.setPrivacy"); n != 2 {
		t.Errorf("telegram was asked for %d changes of the privacy, want 2", n)
	}

	service, end := o.run(path)
	for o.server.Control().Online(salesID) < 2 { // the other device is one
		select {
		case <-time.After(20 * time.Millisecond):
		case <-o.ctx.Done():
			t.Fatal("the service does not take the account")
		}
	}
	held := fmt.Sprintf(`^account "sales": take the account: .*lease is held by another owner: .*\bpid %d\b.*: stop it first\n$`, service.Process.Pid)
	for _, args := range [][]string{list, stop, privacy} {
		if said, err := o.tgtrunk("", args...); err == nil || !regexp.MustCompile(held).MatchString(said) {
			t.Errorf("tgtrunk %v beside the service: %v, says %q", args, err, said)
		}
	}
	end()
}

// A login of less than a day may look and not change; what to do about it is said.
func TestAccountDevicesOfAFreshLogin(t *testing.T) {
	o := newOffice(t, func(o *cloud.Options) { o.Fresh = 24 * time.Hour })
	o.server.Control().SetPrivacy(salesID, cloud.Privacy{Calls: cloud.Contacts})
	path := o.configure("directory.yaml", fmt.Sprintf(`data: "%s/data"`, o.dir))
	o.must("10001\n", "login", "--account", "sales", "--config", path)
	o.phone()
	const why = "telegram does not let a login of less than 24 hours do this (FRESH_RESET_AUTHORISATION_FORBIDDEN): try again when it is a day old"
	said, err := o.tgtrunk("", "account", "devices", "sales", "--stop-calls", "--config", path)
	if err == nil || !strings.HasSuffix(said, why+"\n") {
		t.Errorf("%v, says %q", err, said)
	}
	if below := o.wantDevices(said, "ring", "ring"); !strings.HasPrefix(below, `account "sales": switch calls on simulated phone lab`) {
		t.Errorf("below the list is %q", below)
	}
	o.refused(why, "account", "privacy", "sales", "--config", path)
}
