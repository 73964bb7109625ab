package config

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
)

// Chat says what an account answers to people who write to it, and what it tells them of calls. What is not mentioned is
// off.
type Chat struct {
	Desk *chat.Desk `yaml:"-"` // what the rest says

	Language    string `yaml:"language"`
	Digits      string `yaml:"digits"` // both, to_pbx, to_user or none
	Notices     `yaml:",inline"`
	Unmatched   `yaml:",inline"`
	CallBack    CallBack                     `yaml:"call_back"`
	Extensions  Extensions                   `yaml:"extensions"`
	Departments []Department                 `yaml:"departments"`
	Menu        Menu                         `yaml:"menu"`
	Hours       map[string]Hours             `yaml:"hours"` // by a name
	Limits      ChatLimits                   `yaml:"limits"`
	Texts       map[string]map[string]string `yaml:"texts"` // by name and language
}

// Notices say what people are told of calls.
type Notices struct {
	Card    bool          `yaml:"card"`    // who calls
	Missed  time.Duration `yaml:"missed"`  // missed calls, once in so long
	Offline string        `yaml:"offline"` // message or call, for whom a call did not reach
	Private Private       `yaml:"private"` // calls that privacy settings refuse
}

// Unmatched says what is done about messages that mean nothing.
type Unmatched struct {
	AutoAnswer time.Duration `yaml:"auto_answer"` // answer them, once in so long
	AutoHours  string        `yaml:"auto_hours"`  // outside of these hours in other words
	Webhook    bool          `yaml:"webhook"`     // hand them on, as message.received
}

// Private says who is written to after a call that privacy settings have refused.
type Private struct {
	Every     time.Duration `yaml:"every"`     // once in so long; 0: nobody
	Strangers bool          `yaml:"strangers"` // strangers, too
}

// CallBack says who is called back, and whom that is connected with.
type CallBack struct {
	Words     map[string][]string `yaml:"words"` // by language
	Context   string              `yaml:"context"`
	Extension string              `yaml:"extension"`
	Hours     string              `yaml:"hours"`
}

// Extensions are those that people may have by writing them.
type Extensions struct {
	Context string            `yaml:"context"`
	Allow   []string          `yaml:"allow"` // 201, or 200-299
	Names   map[string]string `yaml:"names"` // words, to an extension each
}

// Department is one of the menu.
type Department struct {
	Name      map[string]string `yaml:"name"` // by language
	Context   string            `yaml:"context"`
	Extension string            `yaml:"extension"`
	Hours     string            `yaml:"hours"`
}

// Menu says when the departments are listed.
type Menu struct {
	Words map[string][]string `yaml:"words"` // by language
	Every time.Duration       `yaml:"every"` // to whoever writes something else, once in so long
}

// Hours are opening hours.
type Hours struct {
	Zone     string            `yaml:"zone"` // such as Europe/Berlin
	Open     map[string]string `yaml:"open"` // by days
	Holidays []string          `yaml:"holidays"`
}

// ChatLimits bound what people get out of an account.
type ChatLimits struct {
	Messages    Rate `yaml:"messages"`
	Calls       Rate `yaml:"calls"`
	Told        Rate `yaml:"told"`
	AllMessages Rate `yaml:"all_messages"`
	AllCalls    Rate `yaml:"all_calls"`
	AllTold     Rate `yaml:"all_told"`
}

// Rate is so many in so long.
type Rate struct {
	Count int           `yaml:"count"`
	Per   time.Duration `yaml:"per"`
}

// The values of a chat's `digits`.
const (
	DigitsBoth   = "both"
	DigitsToPBX  = "to_pbx"
	DigitsToUser = "to_user"
	DigitsNone   = "none"
)

const maxChatPeriod = 31 * 24 * time.Hour

// chat makes the account's desk of what the file says.
func (c *checker) chat(i int) {
	from := c.config.Accounts[i].Chat
	if from == nil {
		return
	}
	below := func(way ...any) []any { return append(at("accounts", i, "chat"), way...) }
	before := len(c.problems)
	setDefault(&from.Digits, DigitsNone)
	if !slices.Contains([]string{DigitsBoth, DigitsToPBX, DigitsToUser, DigitsNone}, from.Digits) {
		c.problem(below("digits"), "digits is %s, %s, %s or %s, not %q", DigitsBoth, DigitsToPBX, DigitsToUser, DigitsNone, from.Digits)
	}
	for key, d := range map[string]time.Duration{"missed": from.Missed, "auto_answer": from.AutoAnswer} {
		c.duration(below(key), d, 0, maxChatPeriod)
	}
	c.duration(below("menu", "every"), from.Menu.Every, 0, maxChatPeriod)
	c.duration(below("private", "every"), from.Private.Every, 0, maxChatPeriod)
	if from.Private.Strangers && from.Private.Every == 0 {
		c.problem(below("private", "strangers"), "chat: strangers of private without every: say how often a person may be written to")
	}
	if from.AutoHours != "" && from.AutoAnswer == 0 {
		c.problem(below("auto_hours"), "chat: auto_hours without auto_answer: say how often a person may be answered")
	}
	if from.Webhook && (c.config.Webhook == nil || !slices.Contains(c.config.Webhook.Events, EventMessage)) {
		c.problem(below("webhook"), "chat: messages are handed on, and webhook.events does not list %s", EventMessage)
	}
	options := from.options(c, below)
	if len(c.problems) > before {
		return // one mistake is said once
	}
	desk, err := chat.New(options)
	for _, err := range unjoin(err) {
		way := below()
		var problem *chat.Problem
		if errors.As(err, &problem) {
			way = below(problem.Way...)
		}
		c.problem(way, "chat: %v", err)
	}
	if from.calls() && err == nil && !c.reachesPBX(c.config.Accounts[i].Name) {
		c.problem(below(), "chat: people can ask for calls, and no route takes calls from %s to a PBX", c.config.Accounts[i].Name)
	}
	from.Desk = desk
}

// calls reports whether people can ask for calls.
func (f *Chat) calls() bool {
	return len(f.CallBack.Words)+len(f.Extensions.Allow)+len(f.Extensions.Names)+len(f.Departments) > 0
}

func (c *checker) reachesPBX(account string) bool {
	return slices.ContainsFunc(c.config.Routes, func(r Route) bool {
		return r.From == account && slices.ContainsFunc(c.config.PBX, func(p PBX) bool { return r.leads(p.Name) })
	})
}

// options are what package chat is told; what cannot be is a problem.
func (f *Chat) options(c *checker, below func(...any) []any) chat.Options {
	hours := f.weeks(c, below)
	week := func(name string, way ...any) *chat.Week {
		if _, ok := hours[name]; !ok && name != "" {
			c.problem(below(append(way, "hours")...), "there are no hours %q", name)
		}
		return hours[name]
	}
	o := chat.Options{
		Language: f.Language, Texts: chat.Texts{}, Card: f.Card, Missed: f.Missed,
		Unreached: chat.Unreached{Offline: routing.Offline(f.Offline), Private: chat.Private(f.Private)},
		Unmatched: chat.Unmatched{AutoAnswer: f.AutoAnswer, Hours: hours[f.AutoHours], Forward: f.Webhook},
		Digits: chat.Digits{
			ToPBX:  f.Digits == DigitsBoth || f.Digits == DigitsToPBX,
			ToUser: f.Digits == DigitsBoth || f.Digits == DigitsToUser,
		},
		CallBack: chat.CallBack{
			Words: f.CallBack.Words, Place: chat.Place{Context: f.CallBack.Context, Extension: f.CallBack.Extension},
			Hours: week(f.CallBack.Hours, "call_back"),
		},
		Extensions: chat.Extensions{Context: f.Extensions.Context, Names: f.Extensions.Names},
		Menu:       chat.Menu{Words: f.Menu.Words, Every: f.Menu.Every},
		Limits: chat.Limits{
			Messages: chat.Bucket(f.Limits.Messages), Calls: chat.Bucket(f.Limits.Calls),
			AllMessages: chat.Bucket(f.Limits.AllMessages), AllCalls: chat.Bucket(f.Limits.AllCalls),
			Told: chat.Bucket(f.Limits.Told), AllTold: chat.Bucket(f.Limits.AllTold),
		},
	}
	if _, ok := hours[f.AutoHours]; !ok && f.AutoHours != "" {
		c.problem(below("auto_hours"), "there are no hours %q", f.AutoHours)
	}
	for key, texts := range f.Texts {
		o.Texts[chat.Key(key)] = texts
	}
	for i, text := range f.Extensions.Allow {
		r, err := routing.ParseRange(text)
		if err != nil {
			c.problem(below("extensions", "allow", i), "%v", err)
		}
		o.Extensions.Allow = append(o.Extensions.Allow, r)
	}
	for i, d := range f.Departments {
		o.Departments = append(o.Departments, chat.Department{
			Name: d.Name, Place: chat.Place{Context: d.Context, Extension: d.Extension}, Hours: week(d.Hours, "departments", i),
		})
	}
	return o
}

// weeks reads the opening hours.
func (f *Chat) weeks(c *checker, below func(...any) []any) map[string]*chat.Week {
	out := map[string]*chat.Week{}
	for _, name := range slices.Sorted(maps.Keys(f.Hours)) {
		h := f.Hours[name]
		zone, err := time.LoadLocation(h.Zone)
		if err != nil || h.Zone == "" || h.Zone == "Local" {
			c.problem(below("hours", name, "zone"), "time zone %q: write it as Europe/Berlin", h.Zone)
			zone = time.UTC
		}
		week, err := chat.NewWeek(zone, h.Open, h.Holidays)
		for _, err := range unjoin(err) {
			c.problem(below("hours", name), "%v", err)
		}
		out[name] = week
	}
	return out
}
