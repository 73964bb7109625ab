package chat

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Person is who writes, or is called.
type Person struct {
	ID       int64
	Language string // of the person's app, such as "de"; "" where Telegram does not tell
	Stranger bool   // neither a contact nor anybody the account has had to do with: is not written to
	Machine  bool   // a bot, a deleted account, Telegram itself, or the account's own: is never answered
}

// Message is one that came to the account.
type Message struct {
	ID        int // grows with every message of the account
	Date      time.Time
	Text      string
	Group     bool // not a private chat
	Out       bool // the account's own
	Automatic bool // sent by a bot in the person's name, by an answering machine, or by the clock
	OwnCard   bool // the person's own contact card
}

// Action is what is to be done: Say, Call or Told.
type Action interface{ action() }

// Say is a message to the person.
type Say struct{ Text string }

// Call calls the person and connects the call with a place in the PBX.
type Call struct {
	Place Place
	Why   Why
}

// Told is a message that means nothing here, for somebody else to read.
type Told struct {
	Message
	Language string // in which the person would be answered; "" where nothing is known of it
}

func (Say) action()  {}
func (Told) action() {}
func (Call) action() {}

// Why is what the person has asked for, for the dialplan and the log.
type Why string

// The reasons.
const (
	WhyCallBack   Why = "callback"
	WhyExtension  Why = "extension"
	WhyDepartment Why = "department"
)

const (
	tooOld    = 5 * time.Minute // an answer that comes later surprises
	menuHolds = time.Hour       // a number answers the list so long
	maxDigits = 32
)

// DTMF reads a message that is nothing but DTMF digits, 1 to 32 of them; spaces between do not matter. Letters are
// capital ones: "bad" is a word.
func DTMF(text string) (digits string, ok bool) {
	digits = strings.Join(strings.Fields(text), "")
	return digits, digits != "" && len(digits) <= maxDigits && strings.Trim(digits, "0123456789ABCD*#") == ""
}

// normal is what words are compared by: lower case, single spaces, no punctuation around.
func normal(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	return strings.TrimFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '*' && r != '#' })
}

// Read decides what is done about a message. That it was read is noted in s in any case.
func (d *Desk) Read(p Person, m Message, s State, now time.Time) []Action {
	seen := m.ID <= s.Book.Last
	s.Book.Last = max(s.Book.Last, m.ID)
	switch {
	case p.Machine || m.Group || m.Out || m.Automatic || seen || now.Sub(m.Date) > tooOld || len(m.Text) > 4*maxMessage:
		return nil
	case m.OwnCard && len(d.o.CallBack.Words) > 0:
		return d.callBack(p, s, now)
	}
	text := normal(m.Text)
	if i, ok := d.chosen(text, s.Book, now); ok {
		return d.callDepartment(i, p, s, now)
	}
	w := d.words[text]
	if w.what != nothing {
		s.Book.Language = w.language
	}
	switch w.what {
	case callBack:
		return d.callBack(p, s, now)
	case department:
		return d.callDepartment(w.department, p, s, now)
	case menu:
		return d.say(s, now, d.menu(p, s.Book, now))
	}
	if extension, ok := d.o.Extensions.find(text); ok {
		return d.call(p, s, now, Call{Place{d.o.Extensions.Context, extension}, WhyExtension}, text)
	}
	return append(d.told(p, m, s, now), d.unmatched(p, s, now)...)
}

// chosen is the department whose number in the list, sent lately, a text is.
func (d *Desk) chosen(text string, b *Book, now time.Time) (int, bool) {
	if b.Menu.IsZero() || now.Sub(b.Menu) > menuHolds || len(text) > 2 {
		return 0, false
	}
	for i := range d.o.Departments {
		if text == fmt.Sprint(i+1) {
			return i, true
		}
	}
	return 0, false
}

// callBack connects with who called last, where that is an extension that people may have, else with the usual place.
func (d *Desk) callBack(p Person, s State, now time.Time) []Action {
	if closed := d.closed("", d.o.CallBack.Hours, p, s.Book, now); closed != "" {
		return d.say(s, now, closed)
	}
	if agent := s.Book.Agent; d.o.Extensions.reaches(agent.Extension) {
		return d.call(p, s, now, Call{Place{d.o.Extensions.Context, agent.Extension}, WhyCallBack}, agent.Name)
	}
	return d.call(p, s, now, Call{d.o.CallBack.Place, WhyCallBack}, "")
}

func (d *Desk) callDepartment(i int, p Person, s State, now time.Time) []Action {
	dep := d.o.Departments[i]
	name, _ := pick(dep.Name, p.Language, s.Book.Language, d.o.Language)
	if closed := d.closed(name, dep.Hours, p, s.Book, now); closed != "" {
		return d.say(s, now, closed)
	}
	return d.call(p, s, now, Call{dep.Place, WhyDepartment}, name)
}

// closed says when something opens; "" where it is open.
func (d *Desk) closed(name string, hours *Week, p Person, b *Book, now time.Time) string {
	if hours.Open(now) {
		return ""
	}
	text, _ := d.text(TextClosed, p, b, opening(name, hours, now))
	if text == "" { // a text of one's own that needs what is not known
		text, _ = fill(builtInTexts()[builtIn][TextClosed], opening(name, hours, now))
	}
	return text
}

func opening(name string, hours *Week, now time.Time) map[string]string {
	fields := map[string]string{"name": name}
	if at, ok := hours.Next(now); ok {
		fields["date"], fields["time"] = at.Format(time.DateOnly), at.Format("15:04")
	}
	return fields
}

// call calls, as far as the limits go.
func (d *Desk) call(p Person, s State, now time.Time, c Call, name string) []Action {
	l := d.o.Limits
	if !takeBoth(&s.Book.Calls, &s.Totals.Calls, l.Calls, l.AllCalls, now) {
		text, _ := d.text(TextLater, p, s.Book, nil)
		return d.say(s, now, text)
	}
	text, _ := d.text(TextCalling, p, s.Book, map[string]string{"name": name})
	return append(d.say(s, now, text), c)
}

// menu lists the departments, and notes that it was listed.
func (d *Desk) menu(p Person, b *Book, now time.Time) string {
	b.Menu = now
	lines := make([]string, len(d.o.Departments))
	for i, dep := range d.o.Departments {
		name, _ := pick(dep.Name, p.Language, b.Language, d.o.Language)
		lines[i] = fmt.Sprintf("%d. %s", i+1, name)
		if closed := d.closed("", dep.Hours, p, b, now); closed != "" {
			lines[i] += " (" + closed + ")"
		}
	}
	text, _ := d.text(TextMenu, p, b, map[string]string{"departments": strings.Join(lines, "\n")})
	return text
}

// unmatched answers a message that means nothing: with the auto-answer, the menu, both or nothing.
func (d *Desk) unmatched(p Person, s State, now time.Time) []Action {
	var parts []string
	if text := d.autoAnswer(p, s.Book, now); text != "" {
		parts = append(parts, text)
	}
	if every := d.o.Menu.Every; every > 0 && (s.Book.Menu.IsZero() || now.Sub(s.Book.Menu) >= every) {
		parts = append(parts, d.menu(p, s.Book, now))
	}
	return d.say(s, now, strings.Join(parts, "\n\n"))
}

// autoAnswer is the answer to what means nothing, while it is open or closed; "" where there is none to give.
func (d *Desk) autoAnswer(p Person, b *Book, now time.Time) (text string) {
	auto := d.o.Unmatched
	open := auto.Hours.Open(now)
	switch {
	case auto.AutoAnswer <= 0:
	case open && due(&b.Auto, auto.AutoAnswer, now):
		text, _ = d.text(TextAutoAnswer, p, b, nil)
	case !open && due(&b.AutoClosed, auto.AutoAnswer, now):
		text, _ = d.text(TextAutoClosed, p, b, opening("", auto.Hours, now))
	}
	return text
}

// told hands a message on, as far as the limits go.
func (d *Desk) told(p Person, m Message, s State, now time.Time) []Action {
	l := d.o.Limits
	if !d.o.Unmatched.Forward || !takeBoth(&s.Book.Told, &s.Totals.Told, l.Told, l.AllTold, now) {
		return nil
	}
	m.Text = cut(strings.ToValidUTF8(m.Text, "\uFFFD"))
	return []Action{Told{m, cmp.Or(p.Language, s.Book.Language)}}
}

// say says something, as far as the limits go.
func (d *Desk) say(s State, now time.Time, text string) []Action {
	l := d.o.Limits
	if text == "" || !takeBoth(&s.Book.Messages, &s.Totals.Messages, l.Messages, l.AllMessages, now) {
		return nil
	}
	return []Action{Say{cut(text)}}
}
