package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/metrics"
	"github.com/tgtrunk/tgtrunk/records"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/webhook"
)

// reports is where calls are told of: the file of records and the webhook, each of which may be missing.
type reports struct {
	file   *records.Writer
	hook   *webhook.Sender
	events []string // that the webhook gets
	mask   bool
	log    *slog.Logger

	accounts map[string]replier // by name; as know says

	messages int           // events that may wait while messages are still queued
	full     atomic.Bool   // messages are given up just now
	dropped  atomic.Uint64 // messages that were given up
}

func openReports(cfg *config.Config, keep store.Store, log *slog.Logger) (r *reports, err error) {
	r = &reports{mask: cfg.Records.Mask, log: log, accounts: map[string]replier{}}
	if f := cfg.Records; f.File != "" {
		r.file, err = records.Open(records.Options{
			Path: f.File, Mask: f.Mask, NoSync: f.Sync == config.SyncNever, MaxSize: int64(f.MaxMB) << 20, Keep: f.Keep, Log: log,
		})
		if err != nil {
			return nil, err
		}
	}
	if h := cfg.Webhook; h != nil {
		r.events, r.messages = h.Events, (h.Queue+1)/2
		r.hook, err = webhook.New(webhook.Options{
			URL: h.URL, Secret: h.Secret.Reveal(), Store: keep, Timeout: h.Timeout, RetryFor: h.RetryFor, Queue: h.Queue, Log: log,
			Answered: r.answered, Shown: maskIDs,
		})
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// close gives back what was opened and never run.
func (r *reports) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// run writes and sends until ctx ends. What comes from hangups, a SIGHUP, makes the file be opened anew.
func (r *reports) run(ctx context.Context, hangups <-chan os.Signal) {
	var running sync.WaitGroup
	defer running.Wait()
	if r.file != nil {
		running.Go(func() {
			if err := r.file.Run(ctx); err != nil {
				r.log.Error("call records are lost at the end", "error", err)
			}
		})
	}
	if r.hook != nil {
		running.Go(func() { _ = r.hook.Run(ctx) }) // it has no error to tell
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if r.file != nil {
				r.log.Info("opening the call records anew (SIGHUP)")
				r.file.Reopen()
			}
		}
	}
}

// ended takes the record of a call. It does not block.
func (r *reports) ended(record bridge.Record) {
	if r.file != nil {
		r.file.Write(record)
	}
	r.tell(config.EventEnded, record)
}

// edge takes a call that lives. It does not block.
func (r *reports) edge(e bridge.Edge, record bridge.Record) {
	switch e {
	case bridge.CallStarted:
		r.tell(config.EventStarted, record)
	case bridge.CallConnected:
		r.tell(config.EventConnected, record)
	}
}

// notice is the body of a webhook request (docs/records.md).
type notice struct {
	Schema int           `json:"schema"`
	ID     string        `json:"id"`
	Event  string        `json:"event"`
	Time   string        `json:"time"`
	Call   bridge.Record `json:"call"`
}

func (r *reports) tell(event string, record bridge.Record) {
	if r.hook == nil || !slices.Contains(r.events, event) {
		return
	}
	if r.mask {
		record = record.Masked()
	}
	now := time.Now()
	n := notice{
		Schema: bridge.RecordSchema, ID: record.Call + "." + event, Event: event, Call: record,
		Time: stamp(now),
	}
	body, err := json.Marshal(n)
	if err != nil {
		r.log.Error("a webhook event is lost", "event", n.ID, "error", err)
		return
	}
	r.hook.Send(webhook.Event{ID: n.ID, Type: event, Call: record.Call, Time: now, Body: body})
}

// figures are what the metrics show of it.
func (r *reports) figures() metrics.Reports {
	var f metrics.Reports
	if r.file != nil {
		f.Records = &metrics.Backlog{Waiting: r.file.Waiting(), Lost: r.file.Lost()}
	}
	if r.hook != nil {
		s := r.hook.Stats()
		f.Webhook = &metrics.Backlog{Waiting: s.Waiting, Lost: s.Dropped + r.dropped.Load()}
	}
	return f
}
