package chat

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

// Options say what a Desk does. The zero Options do nothing at all.
type Options struct {
	Language    string        // of people whose own is not known or has no texts; default "en"
	Texts       Texts         // over the built-in ones, which are in ten languages; each in Language at least
	Digits      Digits        // typed during calls
	Card        bool          // say who calls while a call to a person rings
	Missed      time.Duration // > 0: tell of missed calls, at most once in so long
	Unreached   Unreached     // whom a call did not reach
	Unmatched   Unmatched     // messages that mean nothing
	CallBack    CallBack
	Extensions  Extensions
	Departments []Department
	Menu        Menu // of the departments
	Limits      Limits
}

// Digits are DTMF digits by chat, each way for itself.
type Digits struct {
	ToPBX  bool // what a person types during a call
	ToUser bool // what the PBX plays is shown, in one message a call
}

// Unreached says what is written to people whom a call did not get through to, beside Missed.
type Unreached struct {
	Offline routing.Offline // no device had the call; "": Missed holds as for every missed call
	Private Private         // privacy settings have refused it
}

// Private writes to people whose privacy settings have refused a call, so that they can let the next one through.
type Private struct {
	Every     time.Duration // > 0: to each person at most once in so long
	Strangers bool          // also to strangers, each of whom has cost the account one of its calls to strangers
}

// Unmatched says what is done about messages that mean nothing.
type Unmatched struct {
	AutoAnswer time.Duration // > 0: answer them; each of the two texts at most once in so long
	Hours      *Week         // outside of them the answer is the other one; nil: always open
	Forward    bool          // hand them on, as Told
}

// Place is where a call enters the PBX. The zero Place leaves that to the account's route.
type Place struct {
	Context   string // dialplan context; "" is the route's
	Extension string
}

// CallBack calls people who ask for it, and connects them with who called them last, else with Place.
type CallBack struct {
	Words Words // what they write; empty: none are called back
	Place Place
	Hours *Week // nil: always
}

// Extensions are the only ones that can be had by writing them.
type Extensions struct {
	Context string            // of all of them; "" is the route's
	Allow   []routing.Range   // to be written as they are
	Names   map[string]string // words, to an extension each
}

// Department is one that people can choose from the menu.
type Department struct {
	Name  map[string]string // by language
	Place Place
	Hours *Week // nil: always open
}

// Menu says when the list of departments is sent.
type Menu struct {
	Words Words         // that ask for it
	Every time.Duration // a message that means nothing gets it at most once in so long; 0: it does not
}

// Words are by language; who writes one is answered in it.
type Words map[string][]string

// Limits keep people and the account out of trouble. A zero Bucket gets its default.
type Limits struct {
	Messages    Bucket // to one person; default 10 in 1 h
	Calls       Bucket // that one person may ask for; default 4 in 1 h
	Told        Bucket // messages of one person that are handed on; default 20 in 1 h
	AllMessages Bucket // of the account; default 20 in 1 min
	AllCalls    Bucket // of the account; default 60 in 1 h
	AllTold     Bucket // of the account; default 200 in 1 h
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		of  *Bucket
		def Bucket
	}{
		{&l.Messages, Bucket{10, time.Hour}}, {&l.Calls, Bucket{4, time.Hour}},
		{&l.AllMessages, Bucket{20, time.Minute}}, {&l.AllCalls, Bucket{60, time.Hour}},
		{&l.Told, Bucket{20, time.Hour}}, {&l.AllTold, Bucket{200, time.Hour}},
	} {
		if *d.of == (Bucket{}) {
			*d.of = d.def
		}
	}
	return l
}

// find returns the extension that a text means.
func (e Extensions) find(text string) (string, bool) {
	if extension, ok := e.Names[text]; ok {
		return extension, true
	}
	return text, e.allows(text)
}

// allows reports whether an extension may be had as it is.
func (e Extensions) allows(extension string) bool {
	return slices.ContainsFunc(e.Allow, func(r routing.Range) bool { return r.Has(extension) })
}

// reaches reports whether an extension may be had, as it is or by a name.
func (e Extensions) reaches(extension string) bool {
	return e.allows(extension) || slices.Contains(slices.Collect(maps.Values(e.Names)), extension)
}

// Desk answers. It is immutable and safe for any number of goroutines.
type Desk struct {
	o     Options
	words map[string]wish // normalised; what they ask for
}

// wish is what a word asks for.
type wish struct {
	what       wanted
	department int
	language   string
}

type wanted uint8

const (
	nothing wanted = iota
	callBack
	menu
	department
)

// Problem is what is wrong with Options. Way leads to it in the configuration, such as "departments", 2, "name".
type Problem struct {
	Way  []any
	Text string
}

// Error returns the text.
func (p *Problem) Error() string { return p.Text }

// New makes a desk. The error joins a *Problem for everything that is wrong.
func New(o Options) (*Desk, error) {
	o.Language = cmp.Or(o.Language, builtIn)
	o.Limits = o.Limits.withDefaults()
	var errs []error
	refuse := func(text string, way ...any) { errs = append(errs, &Problem{way, text}) }
	o = o.tagged(refuse)
	d := &Desk{o: o, words: map[string]wish{}}
	for _, language := range slices.Sorted(maps.Keys(o.CallBack.Words)) {
		d.addAll(o.CallBack.Words[language], wish{what: callBack, language: language}, refuse, "call_back", "words")
	}
	for _, language := range slices.Sorted(maps.Keys(o.Menu.Words)) {
		d.addAll(o.Menu.Words[language], wish{what: menu, language: language}, refuse, "menu", "words")
	}
	d.addDepartments(refuse)
	d.o.Extensions.Names = make(map[string]string, len(o.Extensions.Names))
	for _, name := range slices.Sorted(maps.Keys(o.Extensions.Names)) {
		if !routing.IsExtension(o.Extensions.Names[name]) {
			refuse(fmt.Sprintf("%q cannot be an extension: use letters and digits", o.Extensions.Names[name]), "extensions", "names", name)
		}
		if _, taken := d.words[normal(name)]; taken || normal(name) == "" {
			refuse(fmt.Sprintf("%q means something else already", name), "extensions", "names", name)
		}
		d.o.Extensions.Names[normal(name)] = o.Extensions.Names[name]
	}
	checkPlace(o.Extensions.Context, "0", refuse, "extensions")
	checkPlace(o.CallBack.Place.Context, cmp.Or(o.CallBack.Place.Extension, "0"), refuse, "call_back")
	checkLimits(o.Limits, refuse)
	switch o.Unreached.Offline {
	case routing.OfflineAccount, routing.OfflineCall, routing.OfflineMessage:
	default:
		refuse(fmt.Sprintf("offline is %s or %s, not %q", routing.OfflineCall, routing.OfflineMessage, o.Unreached.Offline), "offline")
	}
	o.Texts.check(o.Language, refuse)
	d.o.Texts = o.Texts.withBuiltIn()
	return d, errors.Join(errs...)
}

// tagged is the options with every language in its one form.
func (o Options) tagged(refuse func(string, ...any)) Options {
	if !isTag(o.Language) {
		refuse(fmt.Sprintf("%q is no language: write it as en, de or pt-BR", o.Language), "language")
	}
	o.Language = tag(o.Language)
	o.CallBack.Words = byTag(o.CallBack.Words, refuse, "call_back", "words")
	o.Menu.Words = byTag(o.Menu.Words, refuse, "menu", "words")
	o.Departments = slices.Clone(o.Departments)
	for i := range o.Departments {
		o.Departments[i].Name = byTag(o.Departments[i].Name, refuse, "departments", i, "name")
	}
	texts := make(Texts, len(o.Texts))
	for _, k := range slices.Sorted(maps.Keys(o.Texts)) {
		texts[k] = byTag(o.Texts[k], refuse, "texts", string(k))
	}
	o.Texts = texts
	return o
}

func (d *Desk) addDepartments(refuse func(string, ...any)) {
	if len(d.o.Departments) > 20 {
		refuse("a menu of more than 20 departments: nobody reads it", "departments")
	}
	for i, dep := range d.o.Departments {
		if len(dep.Name) == 0 {
			refuse("department without a name", "departments", i)
		}
		if dep.Place.Extension == "" {
			refuse("department without an extension", "departments", i)
		} else {
			checkPlace(dep.Place.Context, dep.Place.Extension, refuse, "departments", i)
		}
		for _, language := range slices.Sorted(maps.Keys(dep.Name)) {
			d.addAll([]string{dep.Name[language]}, wish{what: department, department: i, language: language}, refuse, "departments", i, "name")
		}
	}
	if len(d.o.Departments) == 0 && (len(d.o.Menu.Words) > 0 || d.o.Menu.Every > 0) {
		refuse("a menu without departments", "menu")
	}
}

func (d *Desk) addAll(words []string, w wish, refuse func(string, ...any), way ...any) {
	for _, word := range words {
		key := normal(word)
		had, taken := d.words[key]
		switch {
		case key == "" || len(key) > maxWord:
			refuse(fmt.Sprintf("%q cannot be a word to write: use 1 to %d characters, letters or digits among them", word, maxWord), way...)
		case taken && (had.what != w.what || had.department != w.department):
			refuse(fmt.Sprintf("%q means something else already", word), way...)
		case !taken:
			d.words[key] = w
		}
	}
}

func checkPlace(context, extension string, refuse func(string, ...any), way ...any) {
	if strings.Trim(strings.ToLower(context), "abcdefghijklmnopqrstuvwxyz0123456789_-.") != "" {
		refuse(fmt.Sprintf("context %q: use letters, digits, '-', '_' and '.'", context), append(way, "context")...)
	}
	if !routing.IsExtension(extension) {
		refuse(fmt.Sprintf("%q cannot be an extension: use letters and digits", extension), append(way, "extension")...)
	}
}

func checkLimits(l Limits, refuse func(string, ...any)) {
	for name, b := range map[string]Bucket{
		"messages": l.Messages, "calls": l.Calls, "told": l.Told, "all_messages": l.AllMessages, "all_calls": l.AllCalls, "all_told": l.AllTold,
	} {
		if b.Count < 1 || b.Count > 10000 || b.Per < time.Second || b.Per > 31*24*time.Hour {
			refuse(fmt.Sprintf("%d in %v is no limit: use 1 to 10000 in 1s to 744h", b.Count, b.Per), "limits", name)
		}
	}
}

// Digits reports which ways digits go.
func (d *Desk) Digits() Digits { return d.o.Digits }

// Forwards reports whether messages are handed on; no Desk hands none on.
func (d *Desk) Forwards() bool { return d != nil && d.o.Unmatched.Forward }
