package routing

import (
	"errors"
	"strings"
	"testing"
)

func id(n int64) Number        { return Number{Kind: UserID, UserID: n} }
func phone(e164 string) Number { return Number{Kind: Phone, Phone: e164} }
func name(n string) Number     { return Number{Kind: Username, Username: n} }

// rulesOf makes caller-ID rules, one on each line.
func rulesOf(texts ...string) []CallerRule {
	out := make([]CallerRule, len(texts))
	for i, text := range texts {
		out[i] = CallerRule{Text: text, Line: i + 1}
	}
	return out
}

var (
	plainRules = NumberRules{}
	german     = NumberRules{CountryCode: "49", NationalPrefix: "0"}
	russian    = NumberRules{CountryCode: "7", NationalPrefix: "8", NationalDigits: 10, InternationalPrefix: "810"}
	american   = NumberRules{CountryCode: "1", NationalPrefix: "1", NationalDigits: 10, InternationalPrefix: "011"}
	zero       = NumberRules{CallerID: rulesOf("+{phone}", "0{userid}")}
	long       = NumberRules{CallerID: rulesOf("+{phone}", "*99{userid}", "{username}")}
	lettered   = NumberRules{CallerID: rulesOf("+{phone}", "id{userid}")}
	trailed    = NumberRules{CallerID: rulesOf("{userid}#", "tg_{username}.x", "{phone}*")}
	aliased    = NumberRules{CallerID: rulesOf("+{phone}", "*{userid}", "@{username}"), Aliases: map[string]string{"7001": "@anna_b", "7002": "+4930123456", "7003": "*5000201", "boss": "@the_boss"}}
)

func numbers(t testing.TB, rules NumberRules) *Numbers {
	t.Helper()
	n, err := NewNumbers(rules)
	if err != nil {
		t.Fatalf("%+v: %v", rules, err)
	}
	return n
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		text  string
		want  Number
	}{
		{plainRules, "*12345", id(12345)},
		{plainRules, "*9223372036854775807", id(9223372036854775807)},
		{zero, "012345", id(12345)},
		{zero, "0301234567", id(301234567)},
		{zero, "004930123456", phone("+4930123456")}, // no user-id begins with 0
		{zero, "+4930123456", phone("+4930123456")},
		{long, "*9912345", id(12345)},
		{lettered, "id12345", id(12345)},
		{lettered, "@id12345", name("id12345")},
		{lettered, "idaho_potato", name("idaho_potato")},
		{NumberRules{CallerID: rulesOf("7{userid}")}, "71234567", id(1234567)},
		{NumberRules{CallerID: rulesOf("00{userid}")}, "0049301234", id(49301234)},
		{lettered, "ID12345", id(12345)},
		{trailed, "12345#", id(12345)},
		{trailed, "4930123456*", phone("+4930123456")},
		{trailed, "tg_Anna_B.X", name("Anna_B")},
		{trailed, "tg_anna_b", name("tg_anna_b")},
		{trailed, "4930123456", phone("+4930123456")},
		{aliased, "7001", name("anna_b")},
		{aliased, "7002", phone("+4930123456")},
		{aliased, "7003", id(5000201)},
		{aliased, "BOSS", name("the_boss")},

		{plainRules, "+1234567", phone("+1234567")},
		{plainRules, "+123456789012345", phone("+123456789012345")},
		{plainRules, "4930123456", phone("+4930123456")},
		{plainRules, "004930123456", phone("+4930123456")},
		{german, "030123456", phone("+4930123456")},
		{german, "004930123456", phone("+4930123456")},
		{german, "0015551234567", phone("+15551234567")},
		{german, "4930123456", phone("+4930123456")}, // E.164 that lost its plus
		{russian, "89161234567", phone("+79161234567")},
		{russian, "9161234567", phone("+79161234567")},
		{russian, "79161234567", phone("+79161234567")},
		{russian, "8613912345678", phone("+8613912345678")}, // too long for a national number
		{russian, "8104930123456", phone("+4930123456")},
		{american, "5551234567", phone("+15551234567")},
		{american, "15551234567", phone("+15551234567")},
		{american, "0114930123456", phone("+4930123456")},

		{plainRules, "@durov", name("durov")},
		{plainRules, "Telegram_24", name("Telegram_24")},
		{plainRules, "abcd", name("abcd")},
		{plainRules, strings.Repeat("a", 32), name(strings.Repeat("a", 32))},
	} {
		if got, err := numbers(t, test.rules).Read(test.text); err != nil || got.Number != test.want || got.Matched == "" || got.How == "" {
			t.Errorf("Read(%q) by %+v: %+v, %v; want %+v", test.text, test.rules, got, err, test.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		text  string
		meant NumberKind
		says  string
	}{
		{plainRules, "", 0, "nothing was dialled"},
		{plainRules, strings.Repeat("1", 65), 0, "longer than 64 bytes"},
		{plainRules, "\xff123456", 0, "not valid UTF-8"},
		{plainRules, "*1234", UserID, "5 to 20 digits, not 4"},
		{plainRules, "*", UserID, "not all digits"},
		{plainRules, "*12a45", UserID, "not all digits"},
		{plainRules, "*012345", UserID, "does not begin with 0"},
		{plainRules, "**12345", UserID, "not all digits"},
		{plainRules, "*" + strings.Repeat("9", 21), UserID, "5 to 20 digits, not 21"},
		{plainRules, "*9223372036854775808", UserID, "not greater than 9223372036854775807"},
		{plainRules, "*99999999999999999999", UserID, "not greater than"},
		{zero, "01234", UserID, "5 to 20 digits"},
		{long, "*12345", Username, "begins with a letter"},
		{trailed, "1234#", UserID, "5 to 20 digits"},
		{aliased, "7004", Phone, "7 to 15"},
		{plainRules, "+123456", Phone, "7 to 15 digits with its country code, not 6"},
		{plainRules, "+1234567890123456", Phone, "not 16"},
		{plainRules, "+0123456789", Phone, "never 0"},
		{plainRules, "030123456", Phone, "never 0"}, // national, and no country code
		{plainRules, "00", Phone, "not all digits"},
		{plainRules, "0000123456789", Phone, "never 0"},
		{plainRules, "+", Phone, "not all digits"},
		{plainRules, "++4930123456", Phone, "not all digits"},
		{plainRules, "101", Phone, "7 to 15"},
		{plainRules, "@", Username, "4 to 32 characters, not 0"},
		{plainRules, "abc", Username, "4 to 32"},
		{plainRules, strings.Repeat("a", 33), Username, "not 33"},
		{plainRules, "_durov", Username, "begins with a letter"},
		{plainRules, "@1durov", Username, "begins with a letter"},
		{plainRules, "durov.org", Username, "no '.'"},
		{plainRules, "du#rov", Username, "no '#'"},

		{plainRules, `+4930"123456`, 0, `'"'`},
		{plainRules, "+4930123456,5", 0, "','"},
		{plainRules, "+4930123456\r\nX: y", 0, `'\r'`},
		{plainRules, "durov{x=y}", 0, "'{'"},
		{plainRules, "durov$x", 0, "'$'"},
		{plainRules, "durov\x00", 0, `'\x00'`},
		{plainRules, "+49 30 123456", 0, "' '"},
		{plainRules, "*١٢٣٤٥٦", 0, "is not one of 0-9"},
		{plainRules, "дуров", 0, "is not one of A-Z"},
		{plainRules, "durov\u202e", 0, "part of no number"},
		{plainRules, "sip:durov", 0, "':'"},
	} {
		_, err := numbers(t, test.rules).Read(test.text)
		var wrong *NumberError
		if !errors.As(err, &wrong) {
			t.Errorf("Read(%q) returned %v", test.text, err)
			continue
		}
		if wrong.Meant != test.meant || !strings.Contains(wrong.Problem, test.says) || wrong.Text != test.text {
			t.Errorf("Read(%q) says %+v, want %v %q", test.text, wrong, test.meant, test.says)
		}
		if !strings.Contains(err.Error(), "accepted: "+numbers(t, test.rules).Accepted()) {
			t.Errorf("Read(%q) does not say what is accepted: %v", test.text, err)
		}
		if len(test.text) > 8 && strings.Contains(err.Error(), test.text) {
			t.Errorf("Read(%q) repeats what was dialled: %v", test.text, err)
		}
		if wrong.Reason() != "BAD_NUMBER" {
			t.Errorf("the reason is %q", wrong.Reason())
		}
	}
}

func TestKey(t *testing.T) {
	if name("Durov").Key() != name("durov").Key() {
		t.Error("usernames differ by case")
	}
	keys := map[string]Number{}
	for _, n := range []Number{id(12345), phone("+12345678"), name("durov"), name("id12345"), {}} {
		if other, twice := keys[n.Key()]; twice {
			t.Errorf("%+v and %+v have one key", n, other)
		}
		keys[n.Key()] = n
	}
}

func TestAcceptedSaysTheRules(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		want  string
	}{
		{plainRules, "+<phone number>, *<user-id> or <username>"},
		{NumberRules{CallerID: rulesOf("*99{userid}"), CountryCode: "49"}, "*99<user-id>, +<phone number> or @<username>; national numbers get +49"},
	} {
		if got := numbers(t, test.rules).Accepted(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestDefaultRules(t *testing.T) {
	var n *Numbers
	if got := n.CallerID(Party{UserID: 123456}); got != (Shown{"*123456", "*{userid}"}) {
		t.Errorf("the nil Numbers shows %+v", got)
	}
}

func TestNewNumbersRefuses(t *testing.T) {
	for says, bad := range map[string]NumberRules{
		`"x" names no field`:                        {CallerID: rulesOf("x")},
		`no field {id}`:                             {CallerID: rulesOf("*{id}")},
		`no field {UserID}`:                         {CallerID: rulesOf("*{UserID}")},
		`more than one field`:                       {CallerID: rulesOf("{userid}{phone}")},
		`more than 24 characters`:                   {CallerID: rulesOf(strings.Repeat("*", 25) + "{userid}")},
		`contains ','`:                              {CallerID: rulesOf("1,{userid}")},
		`contains ' '`:                              {CallerID: rulesOf("{userid} ")},
		`there are 0 caller-id rules`:               {CallerID: []CallerRule{}},
		`"}{userid" names no field`:                 {CallerID: rulesOf("}{userid")},
		"international prefix":                      {InternationalPrefix: "+"},
		"without a leading 0":                       {CountryCode: "049"},
		"1 to 3 digits":                             {CountryCode: "+49"},
		"needs a country code":                      {NationalPrefix: "0"},
		"national prefix":                           {CountryCode: "49", NationalPrefix: "x"},
		"outside 4 to 14":                           {CountryCode: "49", NationalDigits: 3},
		"or length needs a countr":                  {NationalDigits: 10},
		`alias "7001": parse dialled number`:        {Aliases: map[string]string{"7001": "*1"}},
		`alias "70 1": it can never be dialled`:     {Aliases: map[string]string{"70 1": "@anna"}},
		`alias "*12345": the caller-id rule "*{use`: {Aliases: map[string]string{"*12345": "@anna"}},
		`alias "boss": it differs from another one`: {Aliases: map[string]string{"boss": "@anna", "BOSS": "@anna"}, CallerID: rulesOf("*{userid}")},
	} {
		if _, err := NewNumbers(bad); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", bad, err, says)
		}
	}
}

func TestAmbiguousRulesAreRefused(t *testing.T) {
	for _, test := range []struct {
		rules []string
		says  string // "" where nothing is wrong
	}{
		{[]string{"*{userid}", "*{userid}"}, `"*{userid}" (line 1) and "*{userid}" (line 2) can both mean "*`},
		{[]string{"*{userid}", "*1{userid}"}, `can both mean "*1`},
		{[]string{"*{userid}", "*0{userid}"}, ""}, // no user-id begins with 0
		{[]string{"{userid}", "{phone}"}, "can both mean"},
		{[]string{"0{userid}", "0{phone}"}, "can both mean"},
		{[]string{"0{userid}", "00{phone}"}, ""},
		{[]string{"*{userid}", "+{phone}", "{username}"}, ""},
		{[]string{"id{userid}", "{username}"}, `can both mean "id`},
		{[]string{"id{userid}", "@{username}"}, ""},
		{[]string{"ID{userid}", "id{phone}"}, "can both mean"}, // the case of letters is no difference
		{[]string{"{userid}*", "{phone}#"}, ""},
		{[]string{"1{userid}", "{userid}1"}, "can both mean"},
		{[]string{"1{userid}", "{userid}0"}, "can both mean"},
		{[]string{"1{phone}", "{userid}#"}, ""},
		{[]string{"12345678{userid}", "{phone}"}, "can both mean"},   // 13 to 28 digits, and 7 to 15
		{[]string{"12345678901{userid}", "{phone}"}, ""},             // 16 digits at least, 15 at most
		{[]string{"1234567890{userid}", "{phone}"}, "can both mean"}, // 15 digits
		{[]string{"{username}", "{username}_"}, "can both mean"},
		{[]string{"{username}", "_{username}"}, ""},
		{[]string{"x{username}", "{username}abcdefghijklmnopqrstuvwx"}, "can both mean"},
	} {
		_, err := NewNumbers(NumberRules{CallerID: rulesOf(test.rules...)})
		switch {
		case test.says == "" && err != nil:
			t.Errorf("%q: %v", test.rules, err)
		case test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)):
			t.Errorf("%q: %v, want %q", test.rules, err, test.says)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		says  []string // one for each warning
	}{
		{plainRules, []string{"feature codes"}},
		{zero, []string{"outside line"}},
		{NumberRules{CallerID: rulesOf("#{userid}")}, []string{"feature codes"}},
		{NumberRules{CallerID: rulesOf("**{userid}", "*{phone}")}, []string{"feature codes", "feature codes"}},
		{NumberRules{CallerID: rulesOf("*72{userid}", "*99{phone}")}, []string{"feature code *72"}},
		{NumberRules{CallerID: rulesOf("*{username}", "*99{userid}")}, nil}, // no feature code has letters
		{NumberRules{CallerID: rulesOf("0{phone}"), CountryCode: "7", NationalPrefix: "8"}, []string{"outside line"}},
		{NumberRules{CallerID: rulesOf("8{userid}"), CountryCode: "7", NationalPrefix: "8"}, []string{"without its plus: 8", "a national number after 8: 8"}},
		{long, nil},
		{lettered, []string{"a username: id"}},
		{NumberRules{CallerID: rulesOf("00{userid}")}, []string{"an international number: 00"}},
		{NumberRules{CallerID: rulesOf("0{userid}"), CountryCode: "49", NationalPrefix: "0"}, []string{"outside line", "a national number after 0: 0"}},
		{NumberRules{CallerID: rulesOf("*99{userid}"), CountryCode: "49", NationalPrefix: "0"}, nil},
		{NumberRules{CallerID: rulesOf("88{userid}"), CountryCode: "7", NationalPrefix: "8"}, []string{"without its plus: 88", "a national number after 8: 88"}},
		{NumberRules{CallerID: rulesOf("{phone}"), CountryCode: "1", NationalDigits: 10}, []string{"a national number of 10 digits"}},
		{NumberRules{CallerID: rulesOf("{phone}", "*99{userid}")}, nil},
		{NumberRules{CallerID: rulesOf("{userid}")}, []string{"without its plus"}},
		{NumberRules{CallerID: rulesOf("{userid}#")}, nil},
	} {
		got := numbers(t, test.rules).Warnings()
		if len(got) != len(test.says) {
			t.Errorf("%+v: %+v", test.rules, got)
			continue
		}
		for i, says := range test.says {
			if !strings.Contains(got[i].Text, says) {
				t.Errorf("%+v: %+v does not say %q", test.rules, got[i], says)
			}
		}
	}
}

func TestCallerID(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		party Party
		want  Shown
	}{
		{plainRules, Party{UserID: 123456, Username: "durov", Phone: "+4930123456"}, Shown{"+4930123456", "+{phone}"}},
		{plainRules, Party{UserID: 123456, Phone: "4930123456"}, Shown{"+4930123456", "+{phone}"}}, // Telegram sends no plus
		{plainRules, Party{UserID: 123456, Username: "durov"}, Shown{"*123456", "*{userid}"}},
		{zero, Party{UserID: 123456}, Shown{"0123456", "0{userid}"}},
		{long, Party{UserID: 123456}, Shown{"*99123456", "*99{userid}"}},
		{trailed, Party{UserID: 123456}, Shown{"123456#", "{userid}#"}},
		{plainRules, Party{Username: "durov"}, Shown{"durov", "{username}"}},
		{lettered, Party{Username: "id12345"}, Shown{}}, // no rule shows a username
		{plainRules, Party{UserID: 123456, Phone: "+42\r\nX"}, Shown{"*123456", "*{userid}"}},
		{plainRules, Party{UserID: 777, Username: "durov"}, Shown{"durov", "{username}"}}, // too short to be dialled
		{plainRules, Party{UserID: -123456, Phone: "+888"}, Shown{}},
		{plainRules, Party{}, Shown{}},
	} {
		if got := numbers(t, test.rules).CallerID(test.party); got != test.want {
			t.Errorf("%+v shows %+v as %+v, want %+v", test.rules, test.party, got, test.want)
		}
	}
}

func someRules() []NumberRules {
	return []NumberRules{plainRules, german, russian, american, zero, long, lettered, trailed, aliased, {CallerID: rulesOf("00{userid}")}, {CallerID: rulesOf("1{userid}")}, {CallerID: rulesOf("tg-{userid}")}}
}

// FuzzRead checks that whatever is accepted is well formed, that rules read what they write, and that nothing else is
// returned with an error.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"*12345", "012345", "+4930123456", "004930123456", "@durov", "id12345", "tg-12345", "durov\r\n", "*١٢٣", `"x"`, "8613912345678", "", "12345#"} {
		f.Add(seed)
	}
	var all []*Numbers
	for _, rules := range someRules() {
		all = append(all, numbers(f, rules))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range all {
			r, err := n.Read(text)
			if err != nil {
				var wrong *NumberError
				if r.Number != (Number{}) || !errors.As(err, &wrong) || wrong.Problem == "" {
					t.Fatalf("%q: %+v, %v", text, r, err)
				}
				continue
			}
			checkForm(t, r.Number)
			for _, rule := range n.templates {
				written := rule.write(valueOf(r.Number, rule.field.kind))
				if written == "" {
					continue
				}
				if back, err := n.Read(written); err != nil || back.Number != r.Number {
					t.Fatalf("%q reads %+v, which %q writes as %q, which reads %+v, %v", text, r, rule, written, back, err)
				}
			}
		}
	})
}

// valueOf is the number as a field of that kind; "" for a number of another kind.
func valueOf(n Number, kind NumberKind) string {
	if n.Kind != kind {
		return ""
	}
	return Party{UserID: n.UserID, Phone: n.Phone, Username: n.Username}.field(kind)
}

func checkForm(t *testing.T, n Number) {
	t.Helper()
	set := 0
	for _, is := range []bool{n.UserID != 0, n.Phone != "", n.Username != ""} {
		if is {
			set++
		}
	}
	ok := set == 1
	switch n.Kind {
	case UserID:
		ok = ok && n.UserID >= 10000
	case Phone:
		digits := strings.TrimPrefix(n.Phone, "+")
		ok = ok && digits != n.Phone && allDigits(digits) && len(digits) >= 7 && len(digits) <= 15 && digits[0] != '0'
	case Username:
		ok = ok && len(n.Username) >= 4 && len(n.Username) <= 32
	default:
		ok = false
	}
	if !ok {
		t.Fatalf("malformed %+v", n)
	}
}

// FuzzCallerID checks that a caller who is shown at all can be called back, by dialling what was shown.
func FuzzCallerID(f *testing.F) {
	f.Add(int64(123456), "durov", "4930123456")
	f.Add(int64(0), "id12345", "")
	f.Add(int64(-5), "x", "+0\n")
	f.Fuzz(func(t *testing.T, user int64, username, number string) {
		p := Party{UserID: user, Username: username, Phone: number}
		for _, rules := range someRules() {
			n := numbers(t, rules)
			shown := n.CallerID(p)
			if shown.Number == "" {
				continue
			}
			r, err := n.Read(shown.Number)
			if err != nil {
				t.Fatalf("%+v shows %+v as %q: %v", rules, p, shown, err)
			}
			if valueOf(r.Number, r.Number.Kind) != p.field(r.Number.Kind) {
				t.Fatalf("%+v shows %+v as %q, which calls %+v", rules, p, shown, r)
			}
		}
	})
}
