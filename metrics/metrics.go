package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tgtrunk/tgtrunk/bridge"
)

const (
	headersIn = 5 * time.Second
	answerIn  = 10 * time.Second
	closeIn   = time.Second // for those who are being answered at the end
)

// Account is what is shown of an account at one moment.
type Account struct {
	Name    string
	Up      bool
	Calls   int               // that live
	Most    int               // that may live; 0: any number
	Left    int               // strangers that may be called now; -1: any number
	Ringing int               // other devices where its calls ring; -1: not known
	Bans    []Ban             // that have not passed
	Retries map[string]uint64 // flood waits that were sat through, by method, since the start
}

// Ban is something that an account must not do for a while.
type Ban struct {
	Why    string
	Method string // "" where it is about strangers
	Until  time.Time
}

// Reports is what is kept back of what was to be told of calls. nil: there is no such place.
type Reports struct {
	Records *Backlog // the file of records
	Webhook *Backlog
}

// Backlog counts records or events.
type Backlog struct {
	Waiting int    // to be written or sent
	Lost    uint64 // given up since the start
}

// Sources are asked whenever somebody asks for the figures; they must not block.
type Sources struct {
	Calls    func() int // that live
	Accounts func() []Account
	Reports  func() Reports // nil: nothing is told
}

// Metrics are the figures of the service. Their methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	reach    prometheus.Histogram
}

// New makes the figures, all zero.
func New(s Sources) (*Metrics, error) {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tgtrunk_calls_total", Help: "Calls that have ended, by whether both sides heard each other, and why they ended.",
		}, []string{"from", "result", "reason"}),
		reach: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tgtrunk_reach_seconds", Help: "From the dialling of a target until its device was reached.",
			Buckets: []float64{.25, .5, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 12.5, 15, 20},
		}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.reach, newCollector(s), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// Record counts a call that has ended.
func (m *Metrics) Record(r bridge.Record) {
	result := "failed"
	if !r.Times.Connected.IsZero() {
		result = "connected"
	}
	m.calls.WithLabelValues(r.Offering.Trunk, result, string(r.Reason)).Inc()
	if n := len(r.Attempts); n > 0 && !r.Times.Reached.IsZero() {
		dialled := r.Times.Offered.Add(time.Duration(r.Attempts[n-1].DialMS) * time.Millisecond)
		if took := r.Times.Reached.Sub(dialled); took >= 0 { // it may be of an attempt before the last
			m.reach.Observe(took.Seconds())
		}
	}
}

// Serve answers on a listener, which it closes, until ctx ends.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Timeout: answerIn}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: headersIn, WriteTimeout: 2 * answerIn, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeIn)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-closed
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve metrics: %w", err)
}
