package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the sources when it is asked.
type collector struct {
	sources                       Sources
	live, up, left, bans, retries *prometheus.Desc
	devices, calls, most          *prometheus.Desc
	untold, lost                  *prometheus.Desc
}

func newCollector(s Sources) *collector {
	return &collector{
		sources: s,
		live:    prometheus.NewDesc("tgtrunk_calls_live", "Calls that live.", nil, nil),
		up:      prometheus.NewDesc("tgtrunk_account_up", "Whether calls can be made with the account.", []string{"account"}, nil),
		calls:   prometheus.NewDesc("tgtrunk_account_calls", "Calls that live on the account.", []string{"account"}, nil),
		most: prometheus.NewDesc("tgtrunk_account_calls_max",
			"Calls that may live on the account; +Inf: any number.", []string{"account"}, nil),
		left: prometheus.NewDesc("tgtrunk_stranger_budget_left",
			"Strangers that the account may call now; +Inf: any number.", []string{"account"}, nil),
		devices: prometheus.NewDesc("tgtrunk_account_devices_ringing",
			"Other devices where calls to the account ring, too.", []string{"account"}, nil),
		bans: prometheus.NewDesc("tgtrunk_ban_remaining_seconds",
			"How long the account must not do something; absent where it may.", []string{"account", "why", "method"}, nil),
		retries: prometheus.NewDesc("tgtrunk_guard_retries_total",
			"Flood waits that were sat through.", []string{"account", "method"}, nil),
		untold: prometheus.NewDesc("tgtrunk_reports_waiting",
			"Records that wait to be written, events that wait to be taken.", []string{"to"}, nil),
		lost: prometheus.NewDesc("tgtrunk_reports_lost_total",
			"Records and events that were given up.", []string{"to"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.live, c.up, c.calls, c.most, c.left, c.devices, c.bans, c.retries, c.untold, c.lost} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if c.sources.Calls != nil {
		gauge(c.live, float64(c.sources.Calls()))
	}
	if c.sources.Reports != nil {
		r := c.sources.Reports()
		for to, b := range map[string]*Backlog{"records": r.Records, "webhook": r.Webhook} {
			if b != nil {
				gauge(c.untold, float64(b.Waiting), to)
				out <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(b.Lost), to)
			}
		}
	}
	if c.sources.Accounts == nil {
		return
	}
	for _, a := range c.sources.Accounts() {
		up, left := 0.0, float64(a.Left)
		if a.Up {
			up = 1
		}
		if a.Left < 0 {
			left = math.Inf(1)
		}
		gauge(c.up, up, a.Name)
		most := float64(a.Most)
		if a.Most == 0 {
			most = math.Inf(1)
		}
		gauge(c.calls, float64(a.Calls), a.Name)
		gauge(c.most, most, a.Name)
		gauge(c.left, left, a.Name)
		if a.Ringing >= 0 {
			gauge(c.devices, float64(a.Ringing), a.Name)
		}
		for _, b := range a.Bans {
			if rest := time.Until(b.Until); rest > 0 {
				gauge(c.bans, rest.Seconds(), a.Name, b.Why, b.Method)
			}
		}
		for method, n := range a.Retries {
			out <- prometheus.MustNewConstMetric(c.retries, prometheus.CounterValue, float64(n), a.Name, method)
		}
	}
}
