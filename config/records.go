package config

import (
	"net/url"
	"slices"
	"time"
)

// Records says where the line that remains of each call goes.
type Records struct {
	File  string `yaml:"file"`   // one JSON line a call is appended; empty: none
	Mask  bool   `yaml:"mask"`   // hides who called whom, here and in the webhook
	Sync  string `yaml:"sync"`   // always or never
	MaxMB int    `yaml:"max_mb"` // the file is moved away at that size; 0: never
	Keep  int    `yaml:"keep"`   // files that are kept so
}

// The values of `records.sync`.
const (
	SyncAlways = "always"
	SyncNever  = "never"
)

func (r *Records) fillDefaults() {
	setDefault(&r.Sync, SyncAlways)
	setDefault(&r.Keep, 10)
}

func (c *checker) records() {
	r := &c.config.Records
	if r.Sync != SyncAlways && r.Sync != SyncNever {
		c.problem(at("records", "sync"), "records.sync is %s or %s, not %q", SyncAlways, SyncNever, r.Sync)
	}
	c.count(at("records", "max_mb"), r.MaxMB, 0, 1_000_000)
	c.count(at("records", "keep"), r.Keep, 1, 1000)
}

// Webhook says who is told of calls over HTTP.
type Webhook struct {
	URL      string        `yaml:"url"`
	Secret   Secret        `yaml:"secret"`    // signs the requests
	Events   []string      `yaml:"events"`    // of those below
	Timeout  time.Duration `yaml:"timeout"`   // of one request
	RetryFor time.Duration `yaml:"retry_for"` // an event that has not been taken by then is given up
	Queue    int           `yaml:"queue"`     // events that may wait
}

// The values of `webhook.events`.
const (
	EventStarted   = "call.started"
	EventConnected = "call.connected"
	EventEnded     = "call.ended"
	EventMessage   = "message.received"
)

const minSecret = 16 // characters: it must not be guessed from a signed request

func (w *Webhook) fillDefaults() {
	if w == nil {
		return
	}
	if w.Events == nil {
		w.Events = []string{EventEnded}
	}
	setDefault(&w.Timeout, 10*time.Second)
	setDefault(&w.RetryFor, 24*time.Hour)
	setDefault(&w.Queue, 10_000)
}

func (c *checker) webhook() {
	w := c.config.Webhook
	if w == nil {
		return
	}
	link, err := url.Parse(w.URL)
	switch {
	case err != nil || link.Host == "" || (link.Scheme != "http" && link.Scheme != "https"):
		c.problem(at("webhook", "url"), "webhook url: write it as https://HOST/PATH")
	case link.User != nil:
		c.problem(at("webhook", "url"), "leave user and password out of the webhook url: requests are signed with webhook.secret")
	}
	if len(w.Secret.Reveal()) < minSecret {
		c.problem(at("webhook", "secret"), "webhook.secret has fewer than %d characters: openssl rand -hex 32 makes one", minSecret)
	}
	known := []string{EventStarted, EventConnected, EventEnded, EventMessage}
	for i, e := range w.Events {
		if !slices.Contains(known, e) || slices.Contains(w.Events[:i], e) {
			c.problem(at("webhook", "events", i), "webhook event %q: use each of %v once at most", e, known)
		}
	}
	if i := slices.Index(w.Events, EventMessage); i >= 0 {
		switch {
		case c.config.Records.Mask:
			c.problem(at("webhook", "events", i), "webhook event %s tells who has written, and records.mask hides people: leave one of them out", EventMessage)
		case !slices.ContainsFunc(c.config.Accounts, func(a Account) bool { return a.Chat != nil && a.Chat.Webhook }):
			c.problem(at("webhook", "events", i), "webhook event %s: no account has chat.webhook: true", EventMessage)
		}
	}
	if len(w.Events) == 0 {
		c.problem(at("webhook", "events"), "webhook without events: list some of %v", known)
	}
	c.duration(at("webhook", "timeout"), w.Timeout, 100*time.Millisecond, time.Minute)
	c.duration(at("webhook", "retry_for"), w.RetryFor, time.Second, 14*24*time.Hour)
	c.count(at("webhook", "queue"), w.Queue, 1, 1_000_000)
}
