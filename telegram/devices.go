package telegram

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
)

// devices.go is about the account's other devices. A call to the account goes to all of them, and whichever answers
// first has it; a gateway wants to be the only one (core.telegram.org/api/auth, "authorizations").

const (
	devicesEvery = time.Hour
	devicesIn    = 30 * time.Second
	visitIn      = 2 * time.Minute // for all that a visit does
)

// LinkedDevice is one login of the account.
type LinkedDevice struct {
	Name    string // model and system
	App     string // with its version
	Country string // by its address, as Telegram sees it
	Current bool   // it is ours
	Rings   bool   // calls to the account come there
	Created time.Time
	Active  time.Time

	hash int64 // how Telegram calls it; 0 is the current one
}

func linkedDevice(a tg.Authorization) LinkedDevice {
	return LinkedDevice{
		Name: words(a.DeviceModel, a.SystemVersion), App: words(a.AppName, a.AppVersion), Country: a.Country,
		Current: a.Current, Rings: !a.CallRequestsDisabled,
		Created: time.Unix(int64(a.DateCreated), 0), Active: time.Unix(int64(a.DateActive), 0),
		hash: a.Hash,
	}
}

func words(all ...string) string { return strings.TrimSpace(strings.Join(all, " ")) }

// String names the device as its owner would know it.
func (d LinkedDevice) String() string {
	if d.App == "" {
		return d.Name
	}
	return d.Name + " (" + d.App + ")"
}

func listDevices(ctx context.Context, api *tg.Client) ([]LinkedDevice, error) {
	ctx, cancel := context.WithTimeout(ctx, devicesIn)
	defer cancel()
	all, err := api.AccountGetAuthorizations(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the account's devices: %w", err)
	}
	var devices []LinkedDevice
	for _, a := range all.Authorizations {
		devices = append(devices, linkedDevice(a))
	}
	return devices, nil
}

// Devices lists the account's logins, ours among them. Where the account does not run here, it is taken for the moment:
// it fails with a *store.HeldError while another process has it, and with ErrLoggedOut where there is no session.
func (a *Account) Devices(ctx context.Context) (devices []LinkedDevice, err error) {
	err = a.visit(ctx, "devices", func(ctx context.Context, api *tg.Client) error {
		devices, err = listDevices(ctx, api)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("account %q: %w", a.opts.Name, err)
	}
	return devices, nil
}

// StopCalls makes ours the only device where calls ring, and returns the devices with what has become of them, and those
// that it changed. What is so already is left alone. ErrTooFresh is Telegram's refusal to a new login.
func (a *Account) StopCalls(ctx context.Context) (devices, changed []LinkedDevice, err error) {
	err = a.visit(ctx, "stop calls", func(ctx context.Context, api *tg.Client) error {
		if devices, err = listDevices(ctx, api); err != nil {
			return err
		}
		for i := range devices {
			d := &devices[i]
			if d.Rings == d.Current {
				continue
			}
			if err := setRings(ctx, api, d); err != nil {
				return err
			}
			changed = append(changed, *d)
		}
		a.seen.Store(&devices)
		return nil
	})
	if err != nil {
		return devices, changed, fmt.Errorf("account %q: %w", a.opts.Name, err)
	}
	return devices, changed, nil
}

// setRings lets our device ring, and no other.
func setRings(ctx context.Context, api *tg.Client, d *LinkedDevice) error {
	q := &tg.AccountChangeAuthorizationSettingsRequest{Hash: d.hash}
	q.SetCallRequestsDisabled(!d.Current)
	if _, err := api.AccountChangeAuthorizationSettings(ctx, q); err != nil {
		return fmt.Errorf("switch calls on %s: %w", d, fresh(err))
	}
	d.Rings = d.Current
	return nil
}

// ErrTooFresh is what Telegram says to a login of less than a day.
var ErrTooFresh = errors.New("telegram does not let a login of less than 24 hours do this")

// fresh makes Telegram's errors of that kind an ErrTooFresh (406 FRESH_RESET_AUTHORISATION_FORBIDDEN and its like).
func fresh(err error) error {
	if rpc, ok := tgerr.As(err); ok && strings.HasPrefix(rpc.Type, "FRESH_") {
		return fmt.Errorf("%w (%s)", ErrTooFresh, rpc.Type)
	}
	return err
}

// ringing names the other devices that rang when they were last looked at; false before that.
func (a *Account) ringing() (names []string, known bool) {
	devices := a.seen.Load()
	if devices == nil {
		return nil, false
	}
	for _, d := range *devices {
		if d.Rings && !d.Current {
			names = append(names, d.String())
		}
	}
	return names, true
}

// Ringing is how many other devices of the account rang when they were last looked at; -1 before that.
func (a *Account) Ringing() int {
	names, known := a.ringing()
	if !known {
		return -1
	}
	return len(names)
}

// watchDevices looks at the start, every hour, and when somebody logs in, whether calls ring elsewhere.
func (a *Account) watchDevices(ctx context.Context, s *session) {
	again := time.NewTicker(devicesEvery)
	defer again.Stop()
	for {
		devices, err := listDevices(ctx, s.api)
		switch {
		case err == nil:
			before := a.seen.Swap(&devices)
			a.tellOfLogins(before, devices)
			a.warnOfDevices(devices)
		case ctx.Err() == nil:
			a.log.Warn("looking at the account's devices failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.newDevice:
		case <-again.C:
		}
	}
}

// tellOfLogins names the devices that have come since the last look.
func (a *Account) tellOfLogins(before *[]LinkedDevice, now []LinkedDevice) {
	if before == nil {
		return
	}
	for _, d := range now {
		if !d.Current && !slices.ContainsFunc(*before, func(b LinkedDevice) bool { return b.hash == d.hash }) {
			a.log.Warn("another device has logged in to the account", "device", d.String(), "country", d.Country, "rings", d.Rings,
				"advice", "if nobody of yours did that, end its session in the settings of a telegram app")
		}
	}
}

func (a *Account) warnOfDevices(devices []LinkedDevice) {
	if others, _ := a.ringing(); len(others) > 0 {
		a.log.Warn("calls ring on other devices of the account, too: whoever answers there takes them from the PBX",
			"devices", others, "advice", "tgtrunk account devices "+a.opts.Name+" --stop-calls")
	}
	for _, d := range devices {
		if d.Current && !d.Rings {
			a.log.Warn("calls are switched off on this device: none will come to the PBX",
				"advice", "tgtrunk account devices "+a.opts.Name+" --stop-calls")
		}
	}
}

// visit does something with the account's API: of its session where it runs here, else of one for the purpose.
func (a *Account) visit(ctx context.Context, purpose string, do func(context.Context, *tg.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, visitIn)
	defer cancel()
	if s := a.live.Load(); s != nil {
		return do(ctx, s.api)
	}
	return a.whileHeld(ctx, a.owner+", "+purpose, func(ctx context.Context, f *fence) error {
		version, err := a.keep.sessionVersion(ctx)
		if err != nil {
			return fmt.Errorf("look for a session: %w", err)
		}
		if version == 0 {
			return ErrLoggedOut
		}
		ctx, connected, stop := f.soon(ctx, a.commandIn)
		defer stop()
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		o := a.clientOptions(f, func(err error) { end(fmt.Errorf("%w: %w", ErrLoggedOut, err)) })
		client := telegram.NewClient(a.opts.APIID, a.opts.APIHash, o)
		var failed error // as it was said, without the client's words
		err = client.Run(ctx, func(ctx context.Context) error {
			connected()
			failed = do(ctx, client.API())
			return failed
		})
		cause := context.Cause(ctx)
		if cause != nil && (err == nil || errors.Is(cause, ErrLoggedOut) || errors.Is(cause, errNoConnection)) {
			return cause // Run says nothing of a cancelled context
		}
		return a.opts.Server.explainKey(cmp.Or(failed, err))
	})
}
