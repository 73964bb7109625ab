package routing

import (
	"errors"
	"strings"
	"testing"
)

func id(n int64) Number        { return Number{Kind: UserID, UserID: n} }
func phone(e164 string) Number { return Number{Kind: Phone, Phone: e164} }
func name(n string) Number     { return Number{Kind: Username, Username: n} }

var (
	plainRules = NumberRules{}
	german     = NumberRules{CountryCode: "49", NationalPrefix: "0"}
	russian    = NumberRules{CountryCode: "7", NationalPrefix: "8", NationalDigits: 10, InternationalPrefix: "810"}
	american   = NumberRules{CountryCode: "1", NationalPrefix: "1", NationalDigits: 10, InternationalPrefix: "011"}
	zero       = NumberRules{UserIDPrefix: "0"}
	long       = NumberRules{UserIDPrefix: "*99"}
	letters    = NumberRules{UserIDPrefix: "id"}
)

func TestParseNumber(t *testing.T) {
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
		{letters, "id12345", id(12345)},
		{letters, "@id12345", name("id12345")},
		{letters, "idaho_potato", name("idaho_potato")},
		{NumberRules{UserIDPrefix: "7"}, "71234567", id(1234567)},
		{NumberRules{UserIDPrefix: "00"}, "0049301234", id(49301234)},

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
		if got, err := ParseNumber(test.text, test.rules); err != nil || got != test.want {
			t.Errorf("ParseNumber(%q, %+v) = %+v, %v; want %+v", test.text, test.rules, got, err, test.want)
		}
	}
}

func TestParseNumberRefuses(t *testing.T) {
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
		_, err := ParseNumber(test.text, test.rules)
		var wrong *NumberError
		if !errors.As(err, &wrong) {
			t.Errorf("ParseNumber(%q) returned %v", test.text, err)
			continue
		}
		if wrong.Meant != test.meant || !strings.Contains(wrong.Problem, test.says) || wrong.Text != test.text {
			t.Errorf("ParseNumber(%q) says %+v, want %v %q", test.text, wrong, test.meant, test.says)
		}
		if !strings.Contains(err.Error(), "accepted: "+test.rules.Accepted()) {
			t.Errorf("ParseNumber(%q) does not say what is accepted: %v", test.text, err)
		}
		if len(test.text) > 8 && strings.Contains(err.Error(), test.text) {
			t.Errorf("ParseNumber(%q) repeats what was dialled: %v", test.text, err)
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
		{plainRules, "*<user-id>, +<phone number> or @<username>"},
		{NumberRules{UserIDPrefix: "*99", CountryCode: "49"}, "*99<user-id>, +<phone number> (national numbers get +49) or @<username>"},
	} {
		if got := test.rules.Accepted(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, good := range []NumberRules{plainRules, german, russian, american, zero, long, letters, {UserIDPrefix: "tg-"}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for says, bad := range map[string]NumberRules{
		"longer than 8":            {UserIDPrefix: "*99999999"},
		`contains '+'`:             {UserIDPrefix: "+"},
		`contains '@'`:             {UserIDPrefix: "*@"},
		`contains ','`:             {UserIDPrefix: "1,"},
		"international prefix":     {InternationalPrefix: "+"},
		"without a leading 0":      {CountryCode: "049"},
		"1 to 3 digits":            {CountryCode: "+49"},
		"needs a country code":     {NationalPrefix: "0"},
		"national prefix":          {CountryCode: "49", NationalPrefix: "x"},
		"outside 4 to 14":          {CountryCode: "49", NationalDigits: 3},
		"or length needs a countr": {NationalDigits: 10},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", bad, err, says)
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
		{long, nil},
		{letters, nil},
		{NumberRules{UserIDPrefix: "00"}, []string{"collides with phone numbers", "beginning of the international prefix"}},
		{NumberRules{UserIDPrefix: "0", CountryCode: "49", NationalPrefix: "0"}, []string{"outside line", "begin alike"}},
		{NumberRules{UserIDPrefix: "*99", CountryCode: "49", NationalPrefix: "0"}, nil},
		{NumberRules{UserIDPrefix: "88", CountryCode: "7", NationalPrefix: "8"}, []string{"collides with phone numbers", "begin alike"}},
	} {
		got := test.rules.Warnings()
		if len(got) != len(test.says) {
			t.Errorf("%+v: %q", test.rules, got)
			continue
		}
		for i, says := range test.says {
			if !strings.Contains(got[i], says) {
				t.Errorf("%+v: %q does not say %q", test.rules, got[i], says)
			}
		}
	}
}

func TestCallerID(t *testing.T) {
	for _, test := range []struct {
		rules NumberRules
		party Party
		want  string
	}{
		{plainRules, Party{UserID: 123456, Username: "durov", Phone: "+4930123456"}, "+4930123456"},
		{plainRules, Party{UserID: 123456, Phone: "4930123456"}, "+4930123456"}, // Telegram sends no plus
		{plainRules, Party{UserID: 123456, Username: "durov"}, "*123456"},
		{zero, Party{UserID: 123456}, "0123456"},
		{long, Party{UserID: 123456}, "*99123456"},
		{plainRules, Party{Username: "durov"}, "durov"},
		{letters, Party{Username: "id12345"}, "@id12345"},
		{plainRules, Party{UserID: 123456, Phone: "+42\r\nX"}, "*123456"},
		{plainRules, Party{UserID: 777, Username: "durov"}, "durov"}, // too short to be dialled
		{plainRules, Party{UserID: -1, Phone: "+888"}, ""},
		{plainRules, Party{}, ""},
	} {
		if got := test.rules.CallerID(test.party); got != test.want {
			t.Errorf("%+v shows %+v as %q, want %q", test.rules, test.party, got, test.want)
		}
	}
}

func someRules() []NumberRules {
	return []NumberRules{plainRules, german, russian, american, zero, long, letters, {UserIDPrefix: "00"}, {UserIDPrefix: "1"}, {UserIDPrefix: "tg-"}}
}

// FuzzParseNumber checks that whatever is accepted is well formed and reads back from its rendering, and that nothing
// else is returned with an error.
func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{"*12345", "012345", "+4930123456", "004930123456", "@durov", "id12345", "tg-12345", "durov\r\n", "*١٢٣", `"x"`, "8613912345678", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, rules := range someRules() {
			n, err := ParseNumber(text, rules)
			if err != nil {
				var wrong *NumberError
				if n != (Number{}) || !errors.As(err, &wrong) || wrong.Problem == "" {
					t.Fatalf("%q: %+v, %v", text, n, err)
				}
				continue
			}
			checkForm(t, n)
			back, err := ParseNumber(rules.Render(n), rules)
			if err != nil || back != n {
				t.Fatalf("%+v: %q reads %+v, which renders %q, which reads %+v, %v", rules, text, n, rules.Render(n), back, err)
			}
		}
	})
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
			shown := rules.CallerID(p)
			if shown == "" {
				continue
			}
			n, err := ParseNumber(shown, rules)
			if err != nil {
				t.Fatalf("%+v shows %+v as %q: %v", rules, p, shown, err)
			}
			same := n.Kind == UserID && n.UserID == user || n.Kind == Phone && n.Phone == "+"+strings.TrimPrefix(number, "+") ||
				n.Kind == Username && n.Username == strings.TrimPrefix(username, "@")
			if !same {
				t.Fatalf("%+v shows %+v as %q, which calls %+v", rules, p, shown, n)
			}
		}
	})
}
