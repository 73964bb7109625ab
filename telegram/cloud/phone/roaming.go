package phone

import (
	"context"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"
)

// connection hears of the client's connection; it does not block.
func (p *Phone) connection(s telegram.ConnectionState) {
	if s != telegram.ConnectionStateReady {
		return
	}
	select {
	case p.again <- struct{}{}:
	default:
	}
}

// follow asks, after every loss of the connection, for what was missed; updates are pushed again from then on.
func (p *Phone) follow(ctx context.Context, state tg.UpdatesState) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.again:
		}
		missed, err := p.client.API().UpdatesGetDifference(ctx, &tg.UpdatesGetDifferenceRequest{Pts: state.Pts, Date: state.Date, Qts: state.Qts})
		if err != nil {
			p.options.Log.Debug("phone does not know what it has missed", "error", err)
			continue
		}
		switch d := missed.(type) {
		case *tg.UpdatesDifference:
			state = d.State
			p.recovered(ctx, d.OtherUpdates)
		case *tg.UpdatesDifferenceEmpty:
			state.Date = d.Date
		}
	}
}

func (p *Phone) recovered(ctx context.Context, updates []tg.UpdateClass) {
	for _, u := range updates {
		if call, ok := u.(*tg.UpdatePhoneCall); ok {
			_ = p.line.HandleCall(ctx, call) // never fails
		}
	}
}
