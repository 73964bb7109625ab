package chat

import (
	"cmp"
	"maps"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Caller is who calls a person from the PBX.
type Caller struct {
	Agent
	Account   string            // that the call goes out by
	Variables map[string]string // of the route
	Offline   routing.Offline   // of the route; "" leaves it to Options.Unreached
}

func (c Caller) fields() map[string]string {
	fields := make(map[string]string, len(c.Variables)+3)
	maps.Copy(fields, c.Variables)
	fields["name"], fields["number"], fields["account"] = c.Name, c.Extension, c.Account
	if c.Name == c.Extension {
		fields["name"] = "" // a PBX without a name shows the number twice
	}
	return fields
}

// Card says who calls, while the call rings.
func (d *Desk) Card(p Person, c Caller, s State, now time.Time) []Action {
	if !d.o.Card || p.Stranger || p.Machine {
		return nil
	}
	text, _ := d.text(TextCard, p, s.Book, c.fields())
	return d.say(s, now, text)
}

// Tried says that a call to the person was missed.
func (d *Desk) Tried(p Person, c Caller, s State, now time.Time) []Action {
	return d.tried(d.o.Missed, p, c, s, now)
}

// unreachedEvery is how often somebody is told of calls that did not reach them where Missed says nothing.
const unreachedEvery = time.Hour

// Unreached says the same of a call that no device of the person's has received.
func (d *Desk) Unreached(p Person, c Caller, s State, now time.Time) []Action {
	every := d.o.Missed
	switch cmp.Or(c.Offline, d.o.Unreached.Offline) {
	case routing.OfflineCall:
		return nil
	case routing.OfflineMessage:
		every = cmp.Or(every, unreachedEvery)
	}
	return d.tried(every, p, c, s, now)
}

func (d *Desk) tried(every time.Duration, p Person, c Caller, s State, now time.Time) []Action {
	text, ok := d.text(TextTried, p, s.Book, c.fields())
	return d.missed(every, text, ok, p, s, now)
}

// Private says that the person's privacy settings have refused a call, and what helps. The call was refused by Telegram,
// not by what is remembered of an earlier one: a stranger whom it was placed to has been counted as one.
func (d *Desk) Private(p Person, c Caller, s State, now time.Time) []Action {
	o := d.o.Unreached.Private
	text, ok := d.text(TextPrivate, p, s.Book, c.fields())
	if o.Every <= 0 || !ok || p.Machine || p.Stranger && !o.Strangers || !due(&s.Book.Private, o.Every, now) {
		return nil
	}
	return d.say(s, now, text)
}

// Missed says that nobody has taken a call of the person's.
func (d *Desk) Missed(p Person, s State, now time.Time) []Action {
	fields := map[string]string{}
	if word, ok := d.callBackWord(p, s.Book); ok {
		fields["word"] = word
	}
	text, ok := d.text(TextMissed, p, s.Book, fields)
	return d.missed(d.o.Missed, text, ok, p, s, now)
}

func (d *Desk) missed(every time.Duration, text string, ok bool, p Person, s State, now time.Time) []Action {
	if every <= 0 || !ok || p.Stranger || p.Machine || !due(&s.Book.Missed, every, now) {
		return nil
	}
	return d.say(s, now, text)
}

// callBackWord is the first word for a call-back in the person's language.
func (d *Desk) callBackWord(p Person, b *Book) (string, bool) {
	first := map[string]string{}
	for language, words := range d.o.CallBack.Words {
		if len(words) > 0 {
			first[language] = words[0]
		}
	}
	return pick(first, p.Language, b.Language, d.o.Language)
}

// Failed says that a call which the person has asked for could not be placed.
func (d *Desk) Failed(p Person, s State, now time.Time) []Action {
	text, _ := d.text(TextFailed, p, s.Book, nil)
	return d.say(s, now, text)
}

// Show begins a message with the digits that the PBX has played; none where the limits do not allow it. The text of the
// same message later is ShowMore's.
func (d *Desk) Show(p Person, digits string, s State, now time.Time) []Action {
	if !d.o.Digits.ToUser || p.Machine {
		return nil
	}
	return d.say(s, now, d.ShowMore(p, digits, s))
}

// ShowMore is the text of a message with digits.
func (d *Desk) ShowMore(p Person, digits string, s State) string {
	text, _ := d.text(TextDigits, p, s.Book, map[string]string{"digits": digits})
	return text
}

// Spoke notes with whom the person spoke: an extension that people may have is called back.
func (d *Desk) Spoke(a Agent, b *Book) {
	if len(d.o.CallBack.Words) > 0 && d.o.Extensions.reaches(a.Extension) {
		b.Agent = a
	}
}
