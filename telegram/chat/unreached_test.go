package chat

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/routing"
)

var anna = Caller{Agent: Agent{Extension: "201", Name: "Anna"}, Account: "sales"}

// Whose privacy settings refuse a call is told so once in a while, in their language; strangers only where they may be.
func TestPrivate(t *testing.T) {
	d := desk(t, Options{Unreached: Unreached{Private: Private{Every: 24 * time.Hour}}})
	s := fresh()
	const want = "Wir wollten Sie anrufen: Anna, Durchwahl 201. Ihre Einstellungen"
	if got := said(t, d.Private(Person{Language: "de"}, anna, s, noon)); !strings.HasPrefix(got, want) {
		t.Errorf("%q", got)
	}
	raw, err := json.Marshal(s.Book) // as it is kept
	if err != nil {
		t.Fatal(err)
	}
	s.Book = new(Book)
	if err := json.Unmarshal(raw, s.Book); err != nil {
		t.Fatal(err)
	}
	for after, told := range map[time.Duration]int{time.Minute: 0, 24*time.Hour - time.Second: 0} {
		if got := d.Private(Person{}, anna, s, noon.Add(after)); len(got) != told {
			t.Errorf("after %v: %#v", after, got)
		}
	}
	if got := d.Private(Person{}, anna, s, noon.Add(24*time.Hour)); len(got) != 1 {
		t.Errorf("after a day: %#v", got)
	}
	strangers := desk(t, Options{Unreached: Unreached{Private: Private{Every: time.Hour, Strangers: true}}, Limits: Limits{AllMessages: Bucket{2, time.Hour}}})
	totals := new(Totals)
	var counts []int
	for range 3 {
		counts = append(counts, len(strangers.Private(Person{Stranger: true}, anna, State{new(Book), totals}, noon)))
	}
	if !slices.Equal(counts, []int{1, 1, 0}) {
		t.Errorf("strangers got %v messages, and the limit is 2", counts)
	}
	for name, got := range map[string][]Action{
		"off":      desk(t, Options{Missed: time.Hour}).Private(Person{}, anna, fresh(), noon),
		"stranger": d.Private(Person{Stranger: true}, anna, fresh(), noon),
		"machine":  strangers.Private(Person{Machine: true}, anna, fresh(), noon),
	} {
		if len(got) != 0 {
			t.Errorf("%s: %#v", name, got)
		}
	}
}

// What is written to somebody whom a call did not reach: the account says, the route says otherwise.
func TestUnreached(t *testing.T) {
	for _, test := range []struct {
		missed         time.Duration
		account, route routing.Offline
		want           bool
	}{
		{0, "", "", false}, {time.Hour, "", "", true},
		{time.Hour, routing.OfflineCall, "", false}, {0, routing.OfflineMessage, "", true},
		{time.Hour, routing.OfflineMessage, routing.OfflineCall, false}, {0, routing.OfflineCall, routing.OfflineMessage, true},
		{0, "", routing.OfflineMessage, true}, {time.Hour, "", routing.OfflineCall, false},
	} {
		d := desk(t, Options{Missed: test.missed, Unreached: Unreached{Offline: test.account}})
		c := anna
		c.Offline = test.route
		if got := d.Unreached(Person{Stranger: true}, c, fresh(), noon); got != nil {
			t.Errorf("%+v: a stranger is written to: %#v", test, got)
		}
		s := fresh()
		got := said(t, d.Unreached(Person{}, c, s, noon))
		if (got == "We tried to reach you: Anna, ext 201.") != test.want || got == "" == test.want {
			t.Errorf("%+v: %q", test, got)
		}
		// It is the notice of a missed call, and counts as one.
		within, after := noon.Add(59*time.Minute), noon.Add(61*time.Minute)
		if n := len(d.Unreached(Person{}, c, s, within)); n != 0 {
			t.Errorf("%+v: again within the hour", test)
		}
		if n, want := len(d.Tried(Person{}, c, s, within)), test.missed > 0 && !test.want; (n == 1) != want {
			t.Errorf("%+v: a missed call besides is told of %d times", test, n)
		}
		if n := len(d.Unreached(Person{}, c, s, after)); (n == 1) != test.want {
			t.Errorf("%+v: %d after an hour", test, n)
		}
	}
}

// The answer to what means nothing goes by the opening hours; each of the two is given once in a while.
func TestAutoAnswerByHours(t *testing.T) {
	c := chatter{Desk: desk(t, Options{Unmatched: Unmatched{AutoAnswer: 24 * time.Hour, Hours: office(t)}}), s: fresh()}
	const open, closed = "Nobody reads messages here. Please call this account.", "We are closed now, and nobody reads messages here. We open on 2026-11-25 at 09:00."
	for _, test := range []struct {
		after time.Duration // noon is 13:00 in Berlin, on the day before a holiday
		want  string
	}{
		{0, open}, {time.Hour, ""}, {5 * time.Hour, closed}, {6 * time.Hour, ""}, {24 * time.Hour, ""}, // closed at noon of the holiday: told 19 h ago
		{30 * time.Hour, closed}, {48 * time.Hour, open},
	} {
		if got := said(t, c.writes("hello", noon.Add(test.after))); got != test.want {
			t.Errorf("after %v: %q, want %q", test.after, got, test.want)
		}
	}
	always := chatter{Desk: desk(t, Options{Unmatched: Unmatched{AutoAnswer: time.Hour}}), s: fresh()}
	if got := said(t, always.writes("hello", noon.Add(12*time.Hour))); got != open {
		t.Errorf("without hours: %q", got)
	}
	own := chatter{Desk: desk(t, Options{Unmatched: Unmatched{AutoAnswer: time.Hour, Hours: office(t)},
		Texts: Texts{TextAutoClosed: {"en": "Back on {date}, {time}"}}}), s: fresh()}
	if got := said(t, own.writes("hello", noon.Add(10*time.Hour))); got != "Back on 2026-11-25, 09:00" {
		t.Errorf("a text of one's own: %q", got)
	}
}

// told are the messages among actions.
func told(actions []Action) (out []Told) {
	for _, a := range actions {
		if m, ok := a.(Told); ok {
			out = append(out, m)
		}
	}
	return out
}

// What means something here is nobody else's; the rest is handed on, whole, with the language, and beside the answer.
func TestForward(t *testing.T) {
	o := everything(t)
	o.Unmatched.Forward = true
	c := chatter{Desk: desk(t, o), s: fresh(), p: Person{ID: 7}}
	for _, text := range []string{"call me", "201", "menu", "1", "Vertrieb"} {
		if got := told(c.writes(text, noon)); len(got) != 0 {
			t.Errorf("%q is handed on: %#v", text, got)
		}
	}
	actions := c.writes("  Wo ist meine Bestellung?\n", noon.Add(time.Minute))
	got := told(actions)
	if len(got) != 1 || got[0].Text != "  Wo ist meine Bestellung?\n" || got[0].ID != 6 || !got[0].Date.Equal(noon.Add(time.Minute)) || got[0].Language != "de" {
		t.Errorf("%#v", got)
	}
	if len(actions) != 2 || !strings.Contains(actions[1].(Say).Text, "liest niemand") {
		t.Errorf("the answer is %#v", actions)
	}
	c.p.Language = "fr"
	if got := told(c.writes("\xff"+strings.Repeat("ä", 5000), noon)); len(got) != 1 || got[0].Language != "fr" ||
		got[0].Text != "\uFFFD"+strings.Repeat("ä", maxMessage-1) {
		t.Errorf("%d messages", len(got))
	}
	c.p.Machine = true
	if got := c.writes("hello", noon); got != nil {
		t.Errorf("a machine's words are handed on: %#v", got)
	}
	off := chatter{Desk: desk(t, everything(t)), s: fresh()}
	if got := told(off.writes("hello", noon)); len(got) != 0 {
		t.Errorf("it is off: %#v", got)
	}
}

// Who writes much is heard no further, and a crowd neither; answers do not depend on it.
func TestForwardIsLimited(t *testing.T) {
	d := desk(t, Options{Unmatched: Unmatched{Forward: true}, Limits: Limits{Told: Bucket{3, time.Hour}, AllTold: Bucket{5, time.Hour}}})
	totals := new(Totals)
	for person, want := range []int{3, 2, 0} {
		c := chatter{Desk: d, s: State{new(Book), totals}}
		n := 0
		for i := range 50 {
			n += len(told(c.writes("spam", noon.Add(time.Duration(i)*time.Second))))
		}
		if n != want {
			t.Errorf("of person %d %d messages are handed on, want %d", person, n, want)
		}
	}
}
