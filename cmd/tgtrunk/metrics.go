package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/metrics"
	"github.com/tgtrunk/tgtrunk/telegram"
)

// figures are the service's metrics and where they are served; without a listener nothing is.
type figures struct {
	*metrics.Metrics
	listener net.Listener
	exchange atomic.Pointer[bridge.Exchange]
	log      *slog.Logger
}

func openMetrics(listen string, trunks []bridge.Trunk, told *reports, log *slog.Logger) (*figures, error) {
	f := &figures{log: log}
	if listen == "" {
		return f, nil
	}
	var err error
	f.Metrics, err = metrics.New(metrics.Sources{
		Calls: f.calls, Accounts: func() []metrics.Account { return accountFigures(trunks) }, Reports: told.figures,
	})
	if err != nil {
		return nil, err
	}
	if f.listener, err = net.Listen("tcp", listen); err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	return f, nil
}

func (f *figures) calls() int {
	x := f.exchange.Load()
	if x == nil {
		return 0
	}
	return x.Calls()
}

func (f *figures) record(r bridge.Record) {
	if f.Metrics != nil {
		f.Record(r)
	}
}

// serve answers until ctx ends.
func (f *figures) serve(ctx context.Context, x *bridge.Exchange) {
	if f.listener == nil {
		return
	}
	f.exchange.Store(x)
	f.log.Info("metrics are served", "address", f.listener.Addr().String())
	if err := f.Serve(ctx, f.listener, f.log); err != nil {
		f.log.Error("metrics are not served any more", "error", err)
	}
}

// close gives the listener back where it has not been served.
func (f *figures) close() {
	if f.listener != nil {
		_ = f.listener.Close()
	}
}

func accountFigures(trunks []bridge.Trunk) []metrics.Account {
	var all []metrics.Account
	for _, t := range trunks {
		a, ok := t.(*telegram.Account)
		if !ok {
			continue
		}
		status := a.Guard()
		figure := metrics.Account{Name: a.Name(), Up: a.Health() == nil, Left: status.Left, Ringing: a.Ringing(), Retries: status.Retries}
		figure.Calls, figure.Most = a.Calls()
		for _, b := range status.Bans {
			figure.Bans = append(figure.Bans, metrics.Ban{Why: b.Why.String(), Method: b.Method, Until: b.Until})
		}
		all = append(all, figure)
	}
	return all
}
