package routing

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// genesis makes templates and users at random, from few letters so that they meet.
type genesis struct{ *rand.Rand }

func (g genesis) literal() string {
	var b strings.Builder
	for range g.IntN(3) {
		b.WriteByte("0114*aZb_"[g.IntN(9)])
	}
	return b.String()
}

func (g genesis) template() template {
	f := []field{userIDField, phoneField, usernameField}[g.IntN(3)]
	return template{prefix: g.literal(), field: f, suffix: g.literal()}
}

// value makes a value of a field that exists: a user-id fits in 63 bits.
func (g genesis) value(f field) string {
	n := f.min + g.IntN(f.max-f.min+1)
	if f.kind == UserID {
		n = min(n, 18)
	}
	var b strings.Builder
	for i := range n {
		set := f.rest
		if i == 0 {
			set = f.first
		}
		for {
			if c := "0149abZ_"[g.IntN(8)]; set.has(c) {
				b.WriteByte(c)
				break
			}
		}
	}
	return b.String()
}

// Whatever a rule of an accepted set shows is read back as the same value, by the same rule, whichever rule it is. Sets
// are made at random; those that the check refuses are refused for a text that two of their rules do read.
func TestWhatIsShownReadsBack(t *testing.T) {
	accepted, refused := 0, 0
	for seed := range uint64(5000) {
		g := genesis{rand.New(rand.NewPCG(seed, 19))}
		var set []CallerRule
		var templates []template
		for range 1 + g.IntN(4) {
			rule := g.template()
			templates = append(templates, rule)
			set = append(set, CallerRule{Text: rule.String()})
		}
		n, err := NewNumbers(NumberRules{CallerID: set, CountryCode: "49", NationalPrefix: "0"})
		if err != nil {
			refused++
			checkRefusal(t, templates)
			continue
		}
		accepted++
		for _, rule := range n.templates {
			value := g.value(rule.field)
			text := rule.write(value)
			got, err := n.Read(text)
			if err != nil || got.Matched != ByCallerID || !strings.Contains(got.How, strconv.Quote(rule.String())) || got.Number.Kind != rule.field.kind || valueOf(got.Number, rule.field.kind) != value {
				t.Fatalf("seed %d: rules %v: %q writes %q, which reads as %+v, %v", seed, n.templates, rule, text, got, err)
			}
			// The case of letters may change on the way.
			if up, err := n.Read(strings.ToUpper(text)); err != nil || up.Number.Key() != got.Number.Key() {
				t.Fatalf("seed %d: rules %v: %q in capitals reads as %+v, %v", seed, n.templates, text, up, err)
			}
		}
	}
	if accepted < 500 || refused < 500 {
		t.Errorf("%d sets are accepted and %d refused: the test proves little", accepted, refused)
	}
}

func checkRefusal(t *testing.T, rules []template) {
	t.Helper()
	for i, a := range rules {
		for _, b := range rules[:i] {
			text, both := overlap(a, b)
			if !both {
				continue
			}
			_, byA := a.read(text)
			_, byB := b.read(text)
			if !byA || !byB {
				t.Fatalf("%q and %q are said to share %q: read by %v and %v", a, b, text, byA, byB)
			}
			return
		}
	}
	t.Fatalf("%v are refused and share nothing", rules)
}

// states is a template as an automaton that reads one character after the other: the reference for overlap, found by
// walking two of them together. A state is how many characters of prefix, field and suffix are read.
type states [3]int

func step(t template, at states, c byte) (next []states) {
	if at[0] < len(t.prefix) {
		if strings.EqualFold(t.prefix[at[0]:at[0]+1], string(c)) {
			next = append(next, states{at[0] + 1, 0, 0})
		}
		return next
	}
	if at[2] == 0 && at[1] < t.field.max {
		set := t.field.rest
		if at[1] == 0 {
			set = t.field.first
		}
		if set.has(c) {
			next = append(next, states{at[0], at[1] + 1, 0})
		}
	}
	if at[1] >= t.field.min && at[2] < len(t.suffix) && strings.EqualFold(t.suffix[at[2]:at[2]+1], string(c)) {
		next = append(next, states{at[0], at[1], at[2] + 1})
	}
	return next
}

func accepts(t template, at states) bool { return at[1] >= t.field.min && at[2] == len(t.suffix) }

func overlapByWalking(a, b template) bool {
	type pair struct{ a, b states }
	seen := map[pair]bool{{}: true}
	queue := []pair{{}}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if accepts(a, p.a) && accepts(b, p.b) {
			return true
		}
		for _, c := range []byte("0149*azb_2x") { // every character of the literals, and one of each set besides
			for _, na := range step(a, p.a, c) {
				for _, nb := range step(b, p.b, c) {
					if next := (pair{na, nb}); !seen[next] {
						seen[next] = true
						queue = append(queue, next)
					}
				}
			}
		}
	}
	return false
}

// The comparison by lengths says the same as the textbook's product of two automata.
func TestOverlapIsExact(t *testing.T) {
	yes := 0
	for seed := range uint64(3000) {
		g := genesis{rand.New(rand.NewPCG(seed, 7))}
		a, b := g.template(), g.template()
		_, got := overlap(a, b)
		if want := overlapByWalking(a, b); got != want {
			t.Fatalf("%q and %q: overlap says %v, the automata %v", a, b, got, want)
		}
		if got {
			yes++
		}
	}
	if yes < 100 {
		t.Errorf("only %d pairs overlap", yes)
	}
}

// FuzzCallerRules: two rules from anywhere; what is accepted reads back.
func FuzzCallerRules(f *testing.F) {
	f.Add("*{userid}", "*1{userid}", "5000201")
	f.Add("id{userid}", "{username}", "id12345")
	f.Add("{phone}#", "+{phone}", "4930123456")
	f.Fuzz(func(t *testing.T, one, two, value string) {
		n, err := NewNumbers(NumberRules{CallerID: rulesOf(one, two)})
		if err != nil {
			return
		}
		for _, rule := range n.templates {
			text := rule.write(value)
			if text == "" {
				continue
			}
			readers := 0
			for _, other := range n.templates {
				if _, ok := other.read(text); ok {
					readers++
				}
			}
			got, err := n.Read(text)
			if readers != 1 || err == nil && valueOf(got.Number, rule.field.kind) != value {
				t.Fatalf("%q and %q: %q has %d readers and reads as %+v, %v", one, two, text, readers, got, err)
			}
		}
	})
}

func TestTemplateLengths(t *testing.T) {
	rule := template{prefix: "*", field: userIDField, suffix: "#"}
	if got := []int{rule.shortest(), rule.longest()}; !slices.Equal(got, []int{7, 22}) {
		t.Errorf("%v", got)
	}
}
