package telegram_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/trunktest"
	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

// TestTrunk puts an account through what every trunk has to stand. All cases share one simulated Telegram and one
// person's phone.
func TestTrunk(t *testing.T) {
	w, o := loginOnce(t)
	o.Calls.Mode = telegram.Single // callers hear ringing only there
	o.Calls.Limits.ReachedIn = 500 * time.Millisecond
	p := w.phone(alice, phone.Behaviour{})
	trunktest.Run(t, trunktest.Harness{
		Within: 15 * time.Second,
		Open:   func(t testing.TB) trunktest.Fixture { return &fixture{w: w, account: newAccount(t, o), phone: p} },
	})
}

// fixture is an account and somebody with a phone.
type fixture struct {
	w       *world
	account *telegram.Account
	phone   *phone.Phone
}

func (f *fixture) Trunk() bridge.Trunk { return f.account }

// up waits until the account is connected and nothing is left of the case before.
func (f *fixture) up(ctx context.Context) error {
	return until(ctx, func() error {
		if live := f.w.control.ActiveCalls(); len(live) != 0 {
			return fmt.Errorf("calls are live: %+v", live)
		}
		return f.account.Health()
	})
}

func until(ctx context.Context, try func() error) error {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (f *fixture) Call(ctx context.Context) (trunktest.Far, error) {
	if err := f.up(ctx); err != nil {
		return nil, err
	}
	c, err := f.phone.CallUsername(ctx, "office", phone.Behaviour{})
	if err != nil {
		return nil, err
	}
	return &party{f: f, call: func(context.Context) (*phone.Call, error) { return c, nil }}, nil
}

func (f *fixture) Target(b trunktest.Behaviour) (routing.Target, trunktest.Far, error) {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := f.up(ctx); err != nil {
		return routing.Target{}, nil, err
	}
	number := byName("alice_a")
	switch b {
	case trunktest.Answers:
		f.phone.Behave(phone.Behaviour{})
	case trunktest.RingsOn:
		f.phone.Behave(phone.Behaviour{Action: phone.Ignore})
	case trunktest.IsBusy, trunktest.Declines: // Telegram has one word for both
		f.phone.Behave(phone.Behaviour{Action: phone.Decline})
	case trunktest.Unreachable:
		number = byName("bob_b") // his phone is off
	}
	n := f.phone.Received()
	return routing.Target{Trunk: f.account.Name(), Number: number}, &party{
		f: f, call: func(ctx context.Context) (*phone.Call, error) { return f.phone.Incoming(ctx, n) },
		come: func() bool { return f.phone.Received() > n },
	}, nil
}

// party is the person with the phone, in one call.
type party struct {
	f    *fixture
	call func(context.Context) (*phone.Call, error)
	come func() bool // whether a call has come in; nil: the person calls
}

func (p *party) reaches(ctx context.Context, moment func(phone.Times) time.Time) error {
	c, err := p.call(ctx)
	if err != nil {
		return err
	}
	if !c.Reaches(ctx, moment) {
		return fmt.Errorf("the call does not come so far: %+v", c.Times())
	}
	return nil
}

func (p *party) Rings(ctx context.Context) error {
	if p.come != nil {
		_, err := p.call(ctx)
		return err
	}
	return p.reaches(ctx, func(t phone.Times) time.Time { return t.Received })
}

func (p *party) Answered(ctx context.Context) error {
	return p.reaches(ctx, func(t phone.Times) time.Time { return t.Established })
}

func (p *party) Ended(ctx context.Context) error {
	err := until(ctx, func() error {
		if live := p.f.w.control.ActiveCalls(); len(live) != 0 {
			return fmt.Errorf("calls are live: %+v", live)
		}
		return nil
	})
	if err != nil || p.come != nil && !p.come() {
		return err
	}
	c, err := p.call(ctx)
	if err != nil {
		return err
	}
	_, err = c.Wait(ctx)
	return err
}

func (p *party) act(do func(*phone.Call)) error {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	c, err := p.call(ctx)
	if err != nil {
		return err
	}
	do(c)
	return nil
}

func (p *party) Answer() error { return p.act((*phone.Call).Accept) }
func (p *party) Hangup() error { return p.act((*phone.Call).Hangup) }
