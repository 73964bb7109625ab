package chat

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // for machines without time zones
	"unicode/utf8"

	"github.com/tgtrunk/tgtrunk/routing"
)

// noon is a Monday.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func desk(t testing.TB, o Options) *Desk {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func fresh() State { return State{new(Book), new(Totals)} }

// chatter is a person who writes.
type chatter struct {
	*Desk
	p  Person
	s  State
	id int
}

func (c *chatter) writes(text string, at time.Time) []Action {
	c.id++
	return c.Read(c.p, Message{ID: c.id, Date: at, Text: text}, c.s, at)
}

func said(t testing.TB, actions []Action) string {
	t.Helper()
	if len(actions) == 0 {
		return ""
	}
	say, ok := actions[0].(Say)
	if !ok || len(actions) > 1 {
		t.Fatalf("the actions are %#v", actions)
	}
	return say.Text
}

// An answer and a long menu together are still one message that Telegram takes.
func TestAnswerWithALongMenuFits(t *testing.T) {
	closed := strings.Repeat("c", maxText)
	week, err := NewWeek(time.UTC, map[string]string{"sun": "0:00-1:00"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Unmatched: Unmatched{AutoAnswer: time.Hour}, Menu: Menu{Every: time.Hour},
		Texts: Texts{TextAutoAnswer: {"en": strings.Repeat("a", maxText)}, TextClosed: {"en": closed}},
	}
	for _, name := range []string{"Sales", "Service", "Billing", "Press"} {
		o.Departments = append(o.Departments, Department{Name: map[string]string{"en": name}, Place: Place{Extension: "1"}, Hours: week})
	}
	c := chatter{Desk: desk(t, o), s: fresh()}
	text := said(t, c.writes("hello", noon))
	if n := utf8.RuneCountInString(text); n > maxMessage || !strings.HasPrefix(text, "aaa") || !strings.Contains(text, "1. Sales") {
		t.Errorf("%d characters: %.40q", n, text)
	}
}

func office(t testing.TB) *Week {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWeek(berlin, map[string]string{"mon-thu, sat": "9:00-12:00, 13:00-17:30", "fri": "00:00-24:00"}, []string{"2026-11-24", "12-25"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func everything(t testing.TB) Options {
	return Options{
		Unmatched: Unmatched{AutoAnswer: 24 * time.Hour}, Missed: time.Hour, Card: true, Digits: Digits{true, true},
		CallBack:   CallBack{Words: Words{"en": {"call me"}, "de": {"ruf mich an"}}, Place: Place{Extension: "500"}},
		Extensions: Extensions{Context: "chat", Allow: []routing.Range{{First: "200", Last: "299"}}, Names: map[string]string{"Boss": "100"}},
		Departments: []Department{
			{Name: map[string]string{"en": "Sales", "de": "Vertrieb"}, Place: Place{Extension: "600"}},
			{Name: map[string]string{"en": "Service"}, Place: Place{"svc", "700"}, Hours: office(t)},
		},
		Menu:  Menu{Words: Words{"en": {"menu"}, "de": {"menü"}}, Every: 12 * time.Hour},
		Texts: Texts{TextCalling: {"en": "We are calling you[ to connect you with {name}].", "de": "Wir rufen Sie an[: {name}]."}},
	}
}

func TestWhatAMessageMeans(t *testing.T) {
	d := desk(t, everything(t))
	for _, test := range []struct {
		text string
		want []Action
	}{
		{"Call me!", []Action{Say{"We are calling you."}, Call{Place{"", "500"}, WhyCallBack}}},
		{"  RUF   mich an. ", []Action{Say{"Wir rufen Sie an."}, Call{Place{"", "500"}, WhyCallBack}}},
		{"201", []Action{Say{"We are calling you to connect you with 201."}, Call{Place{"chat", "201"}, WhyExtension}}},
		{"boss", []Action{Say{"We are calling you to connect you with boss."}, Call{Place{"chat", "100"}, WhyExtension}}},
		{"Vertrieb", []Action{Say{"Wir rufen Sie an: Vertrieb."}, Call{Place{"", "600"}, WhyDepartment}}},
		{"service", []Action{Say{"We are calling you to connect you with Service."}, Call{Place{"svc", "700"}, WhyDepartment}}},
	} {
		c := chatter{Desk: d, s: fresh()}
		if got := c.writes(test.text, noon); !slices.Equal(got, test.want) {
			t.Errorf("%q: %#v, want %#v", test.text, got, test.want)
		}
	}
	// Nobody gets anywhere but where the administrator lets them.
	for _, text := range []string{"100", "300", "20", "2011", "0201", "+49201", "201@chat", "Local/201@chat", "00900123456", "*201", "２０１", "201&202", "s"} {
		c := chatter{Desk: d, s: fresh()}
		for _, a := range c.writes(text, noon) {
			if _, call := a.(Call); call {
				t.Errorf("%q calls: %#v", text, a)
			}
		}
	}
}

func TestMenu(t *testing.T) {
	c := chatter{Desk: desk(t, everything(t)), s: fresh()}
	if got := c.writes("1", noon); !strings.Contains(said(t, got), "Nobody reads") || !strings.Contains(said(t, got), "1. Sales\n2. Service") {
		t.Errorf("%#v", got)
	}
	if got := c.writes("2", noon.Add(time.Minute)); len(got) != 2 || got[1] != (Call{Place{"svc", "700"}, WhyDepartment}) {
		t.Errorf("%#v", got)
	}
	if got := c.writes("3", noon.Add(2*time.Minute)); got != nil {
		t.Errorf("a number that is not in the list: %#v", got)
	}
	evening := noon.Add(8 * time.Hour)
	if got := said(t, c.writes("menü", evening)); !strings.HasSuffix(got, "1. Vertrieb\n2. Service (zurzeit geschlossen. Öffnet am 2026-11-25 um 09:00.)") {
		t.Errorf("%q", got)
	}
	if got := said(t, c.writes("2", evening)); got != "Service: zurzeit geschlossen. Öffnet am 2026-11-25 um 09:00." { // the 24th is a holiday
		t.Errorf("%q", got)
	}
	if got := c.writes("1", evening.Add(2*time.Hour)); got != nil {
		t.Errorf("a list of two hours ago: %#v", got)
	}
}

func TestUnmatchedIsAnsweredOnceInAWhile(t *testing.T) {
	c := chatter{Desk: desk(t, everything(t)), s: fresh()}
	for _, test := range []struct {
		after      time.Duration
		auto, menu bool
	}{{0, true, true}, {time.Minute, false, false}, {13 * time.Hour, false, true}, {14 * time.Hour, false, false}, {24 * time.Hour, true, false}} {
		text := said(t, c.writes("hello", noon.Add(test.after)))
		if strings.Contains(text, "Nobody reads") != test.auto || strings.Contains(text, "1. Sales") != test.menu {
			t.Errorf("after %v: %q", test.after, text)
		}
	}
}

func TestNobodyElseIsAnswered(t *testing.T) {
	d := desk(t, Options{Unmatched: Unmatched{AutoAnswer: time.Second}})
	good := Message{ID: 7, Date: noon, Text: "hello"}
	for name, edit := range map[string]func(*Person, *Message, *Book){
		"machine":   func(p *Person, _ *Message, _ *Book) { p.Machine = true },
		"group":     func(_ *Person, m *Message, _ *Book) { m.Group = true },
		"own":       func(_ *Person, m *Message, _ *Book) { m.Out = true },
		"automatic": func(_ *Person, m *Message, _ *Book) { m.Automatic = true },
		"old":       func(_ *Person, m *Message, _ *Book) { m.Date = noon.Add(-6 * time.Minute) },
		"seen":      func(_ *Person, _ *Message, b *Book) { b.Last = 7 },
	} {
		p, m, s := Person{ID: 1}, good, fresh()
		edit(&p, &m, s.Book)
		if got := d.Read(p, m, s, noon); got != nil || s.Book.Last != 7 {
			t.Errorf("%s: %#v", name, got)
		}
	}
	if got := d.Read(Person{ID: 1}, good, fresh(), noon); len(got) != 1 {
		t.Errorf("a person is not answered: %#v", got)
	}
}

// Two answering machines that talk to each other run dry, and begin anew slowly.
func TestLimits(t *testing.T) {
	d := desk(t, Options{Unmatched: Unmatched{AutoAnswer: time.Second}, Limits: Limits{Messages: Bucket{3, time.Hour}, AllMessages: Bucket{5, time.Hour}}})
	totals := new(Totals)
	count := func(c *chatter, from time.Time) (n int) {
		for i := range 100 {
			n += len(c.writes("I am away", from.Add(time.Duration(i)*2*time.Second)))
		}
		return n
	}
	a := &chatter{Desk: d, s: State{new(Book), totals}}
	b := &chatter{Desk: d, s: State{new(Book), totals}}
	if n := count(a, noon); n != 3 {
		t.Errorf("one person got %d answers", n)
	}
	if n := count(b, noon); n != 2 {
		t.Errorf("the account has given %d more answers", n)
	}
	if n := count(a, noon.Add(20*time.Minute+time.Second)); n != 1 {
		t.Errorf("after a third of the hour: %d answers", n)
	}
	if n := count(a, noon.Add(-time.Hour)); n != 0 {
		t.Errorf("a clock that goes back has given %d answers", n)
	}
}

func TestCallsAreLimited(t *testing.T) {
	o := everything(t)
	o.Limits.Calls = Bucket{2, time.Hour}
	c := chatter{Desk: desk(t, o), s: fresh()}
	calls := 0
	for i := range 5 {
		for _, a := range c.writes("call me", noon.Add(time.Duration(i)*time.Second)) {
			if _, ok := a.(Call); ok {
				calls++
			}
		}
	}
	if got := said(t, c.writes("201", noon.Add(time.Minute))); calls != 2 || !strings.HasPrefix(got, "You have asked") {
		t.Errorf("%d calls, %q", calls, got)
	}
}

func TestCallBackGoesToTheLastAgentThatMayBeCalled(t *testing.T) {
	for extension, want := range map[string]Place{"201": {"chat", "201"}, "100": {"chat", "100"}, "555": {"", "500"}, "+49301234": {"", "500"}} {
		c := chatter{Desk: desk(t, everything(t)), s: fresh()}
		c.Spoke(Agent{extension, "Anna"}, c.s.Book)
		raw, err := json.Marshal(c.s.Book) // as it is kept
		if err != nil {
			t.Fatal(err)
		}
		c.s.Book = new(Book)
		if err := json.Unmarshal(raw, c.s.Book); err != nil {
			t.Fatal(err)
		}
		got := c.Read(c.p, Message{ID: 1, Date: noon, OwnCard: true}, c.s, noon)
		if len(got) != 2 || got[1] != (Call{want, WhyCallBack}) {
			t.Errorf("%s: %#v", extension, got)
		}
	}
}

func TestNotices(t *testing.T) {
	d := desk(t, everything(t))
	anna := Caller{Agent: Agent{"201", "Anna {x} [y]"}, Account: "sales"}
	s := fresh()
	if got := said(t, d.Card(Person{}, anna, s, noon)); got != "Call from Anna {x} [y], ext 201" {
		t.Errorf("%q", got)
	}
	if got := said(t, d.Card(Person{}, Caller{Agent: Agent{"201", "201"}}, s, noon)); got != "Call from ext 201" {
		t.Errorf("%q", got)
	}
	if got := d.Card(Person{}, Caller{}, s, noon); got != nil {
		t.Errorf("a card of nobody: %#v", got)
	}
	if got := d.Card(Person{Stranger: true}, anna, s, noon); got != nil {
		t.Errorf("a stranger is written to: %#v", got)
	}
	if got := said(t, d.Tried(Person{}, anna, s, noon)); got != "We tried to reach you: Anna {x} [y], ext 201." {
		t.Errorf("%q", got)
	}
	if got := d.Missed(Person{}, s, noon.Add(59*time.Minute)); got != nil {
		t.Errorf("a second notice within the hour: %#v", got)
	}
	if got := said(t, d.Missed(Person{Language: "de"}, s, noon.Add(61*time.Minute))); !strings.Contains(got, "„ruf mich an“") {
		t.Errorf("%q", got)
	}
	silent := desk(t, Options{})
	if n := len(silent.Card(Person{}, anna, s, noon)) + len(silent.Missed(Person{}, s, noon)) + len(silent.Show(Person{}, "1", s, noon)); n != 0 {
		t.Errorf("a desk with everything off says %d things", n)
	}
}

func TestDTMF(t *testing.T) {
	for text, want := range map[string]string{"1": "1", " 12 A*# ": "12A*#", "ABCD": "ABCD", "": "", "bad": "", "12e": "", "１": "",
		strings.Repeat("1", 32): strings.Repeat("1", 32), strings.Repeat("1", 33): ""} {
		got, ok := DTMF(text)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
}

func TestHours(t *testing.T) {
	w := office(t)
	berlin := w.zone
	for _, test := range []struct {
		at   time.Time
		open bool
		next string // "" where it is open
	}{
		{time.Date(2026, 11, 23, 9, 0, 0, 0, berlin), true, ""},
		{time.Date(2026, 11, 23, 8, 59, 0, 0, berlin), false, "2026-11-23 09:00"},
		{time.Date(2026, 11, 23, 12, 30, 0, 0, berlin), false, "2026-11-23 13:00"},
		{time.Date(2026, 11, 23, 17, 30, 0, 0, berlin), false, "2026-11-25 09:00"}, // the day after is a holiday
		{time.Date(2026, 12, 25, 10, 0, 0, 0, berlin), false, "2026-12-26 09:00"},  // a Friday
		{time.Date(2026, 11, 27, 23, 59, 0, 0, berlin), true, ""},
		{time.Date(2026, 11, 29, 12, 0, 0, 0, berlin), false, "2026-11-30 09:00"},
		{time.Date(2027, 3, 28, 3, 0, 0, 0, berlin), false, "2027-03-29 09:00"}, // summer time begins
		{time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC), true, ""},              // 9:30 in Berlin
	} {
		next, ok := w.Next(test.at)
		if got := w.Open(test.at); got != test.open || !test.open && (!ok || next.Format("2006-01-02 15:04") != test.next) {
			t.Errorf("%v: open %v, next %v", test.at, got, next)
		}
	}
	never, err := NewWeek(time.UTC, nil, nil)
	if _, ok := never.Next(noon); ok || err != nil || never.Open(noon) {
		t.Errorf("what never opens opens: %v", err)
	}
	for _, bad := range []map[string]string{{"mon": "9-12"}, {"mon": "12:00-9:00"}, {"mon": "9:00-25:00"}, {"someday": "9:00-12:00"},
		{"fri-mon": "9:00-12:00"}, {"mon-wed": "9:00-12:00", "tue": "9:00-10:00"}, {"mon": "9:00-12:00, 11:00-13:00"}, {"mon": ""}} {
		if _, err := NewWeek(time.UTC, bad, nil); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	if _, err := NewWeek(time.UTC, nil, []string{"25.12."}); err == nil {
		t.Error("a holiday in the wrong form is taken")
	}
}

func TestMistakesHaveTheirWay(t *testing.T) {
	for name, test := range map[string]struct {
		o   Options
		way string
	}{
		"place":    {Options{CallBack: CallBack{Place: Place{Context: "a/b"}}}, "call_back context"},
		"name":     {Options{Extensions: Extensions{Names: map[string]string{"x": "1&2"}}}, "extensions names x"},
		"text":     {Options{Texts: Texts{TextCard: {"en": "[[{name}]]"}}}, "texts card en"},
		"language": {Options{Language: "de", Texts: Texts{TextCard: {"en": "{name}"}}}, "texts card"},
		"tag":      {Options{Texts: Texts{TextCard: {"en": "{name}", "german": "{name}"}}}, "texts card german"},
		"twice":    {Options{CallBack: CallBack{Words: Words{"pt-BR": {"a"}, "pt_br": {"b"}}}}, "call_back words pt_br"},
		"default":  {Options{Language: "Deutsch"}, "language"},
		"braces":   {Options{Texts: Texts{TextCard: {"en": "{name"}}}, "texts card en"},
		"word":     {Options{Menu: Menu{Words: Words{"en": {"!!"}}}, Departments: []Department{{map[string]string{"en": "S"}, Place{"", "1"}, nil}}}, "menu words"},
	} {
		_, err := New(test.o)
		var p *Problem
		if !errors.As(err, &p) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		way := make([]string, len(p.Way))
		for i, step := range p.Way {
			way[i], _ = step.(string)
		}
		if got := strings.Join(way, " "); got != test.way {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Whatever people write, calls go only to places of the administrator's, and texts stay within what Telegram takes.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"hello", "201", "call me", "1", "\x00", "{name}", "[", "Ünï", "*#"} {
		f.Add(text, "de")
	}
	o := everything(f)
	d := desk(f, o)
	allowed := []Place{o.CallBack.Place, o.Departments[0].Place, o.Departments[1].Place, {"chat", "100"}}
	f.Fuzz(func(t *testing.T, text, language string) {
		c := chatter{Desk: d, s: fresh(), p: Person{ID: 1, Language: language}}
		for i, written := range []string{"menu", text, text} {
			for _, a := range c.writes(written, noon.Add(time.Duration(i)*time.Second)) {
				switch a := a.(type) {
				case Say:
					if a.Text == "" || len([]rune(a.Text)) > maxMessage {
						t.Errorf("%q is answered with %q", text, a.Text)
					}
				case Call:
					inRange := a.Place.Context == "chat" && len(a.Place.Extension) == 3 && a.Place.Extension >= "200" && a.Place.Extension <= "299"
					if !slices.Contains(allowed, a.Place) && !inRange {
						t.Errorf("%q calls %+v", text, a.Place)
					}
				}
			}
		}
	})
}
