package routing

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// NumberKind says which form a dialled number has.
type NumberKind uint8

// The number forms.
const (
	UserID   NumberKind = iota + 1 // a Telegram user id, 5-20 digits, dialled as a caller-ID rule writes it
	Phone                          // a phone number, E.164
	Username                       // a Telegram username
)

// String returns the form's name in messages: "user-id", "phone number" or "username".
func (k NumberKind) String() string {
	switch k {
	case UserID:
		return "user-id"
	case Phone:
		return "phone number"
	case Username:
		return "username"
	}
	return "number"
}

// Number is a parsed dialled number. Exactly the field of its Kind is set. Two Numbers that reach the same user by the
// same form may differ in the case of Username: compare with Key.
type Number struct {
	Kind     NumberKind
	UserID   int64
	Phone    string // "+" and 7-15 digits
	Username string // without '@', case kept
}

// Key returns the same text for every Number that means the same user by the same form, and different texts otherwise;
// "" for the zero Number.
func (n Number) Key() string {
	switch n.Kind {
	case UserID:
		return "id:" + strconv.FormatInt(n.UserID, 10)
	case Phone:
		return "tel:" + n.Phone
	case Username:
		return "name:" + strings.ToLower(n.Username)
	}
	return ""
}

// Lengths of the number forms.
const (
	minUserIDDigits = 5
	maxUserIDDigits = 20 // as administrators are told; the id must fit in 63 bits all the same
	minPhoneDigits  = 7
	maxPhoneDigits  = 15 // ITU-T E.164 §6.2.1
	minUsername     = 4  // collectible usernames; ordinary ones have 5 and more
	maxUsername     = 32
	maxDialled      = 64 // bytes; longer than every form with every prefix
)

// Matched says what gave a dialled text its meaning; the call's record has it.
type Matched string

// The ways to read a dialled text, in the order in which they are tried.
const (
	ByAlias    Matched = "alias"     // NumberRules.Aliases
	ByCallerID Matched = "caller_id" // a caller-ID rule read backwards
	ByMemory   Matched = "memory"    // what the PBX was shown before (Shown, Recall)
	ByPhone    Matched = "phone"     // a phone number in a form that phones dial
	ByUsername Matched = "username"  // a username as it is
)

// Reading is what a dialled text means, and why.
type Reading struct {
	Number  Number
	Matched Matched
	How     string   // in words, for people
	Others  []Number // other ways to the same person, for where Number leads nowhere; only by memory
	bare    bool     // digits that are a phone number only if its "+" was lost on the way
}

// Read says what a dialled text means. The order decides where a text could be read in two ways:
//
//  1. an alias, exactly;
//  2. a caller-ID rule: at most one can read it, as rules that share a text are refused;
//  3. "+" and digits: a phone number in E.164;
//  4. "@" and a name: a username;
//  5. digits alone: a phone number, namely
//     international after InternationalPrefix, national after NationalPrefix or with exactly NationalDigits digits,
//     otherwise E.164 without its "+";
//  6. anything else: a username.
//
// The case of letters is of no account. So with the rule 0{userid} the text 00491701234567 is a phone number, because no
// user-id begins with 0, and 01701234567 is a user-id; with the rule id{userid}, id12345 is a user-id and @id12345 the
// username.
//
// The error is a *NumberError.
func (n *Numbers) Read(text string) (Reading, error) {
	n = n.orDefault()
	if number, ok := n.aliases[strings.ToLower(text)]; ok {
		return Reading{Number: number, Matched: ByAlias, How: "alias " + strconv.Quote(text)}, nil
	}
	return n.readForm(text)
}

// readForm is Read without aliases.
func (n *Numbers) readForm(text string) (Reading, error) {
	if problem := unclean(text); problem != "" {
		return Reading{}, n.fail(text, 0, problem)
	}
	for _, t := range n.templates {
		if value, ok := t.read(text); ok {
			number, err := n.value(text, t.field.kind, value)
			if err != nil {
				return Reading{}, err
			}
			return Reading{Number: number, Matched: ByCallerID, How: "caller_id rule " + strconv.Quote(t.String())}, nil
		}
	}
	reading, err := n.readPlain(text)
	if err != nil {
		if meant := n.meant(text); meant != nil {
			return Reading{}, meant
		}
		return Reading{}, err
	}
	return reading, nil
}

// readPlain reads a text that no caller-ID rule reads.
func (n *Numbers) readPlain(text string) (Reading, error) {
	if phone, ok := strings.CutPrefix(text, "+"); ok {
		return n.phone(text, phone, "phone number in E.164")
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		return n.username(text, name)
	}
	if allDigits(text) {
		return n.readDigits(text)
	}
	return n.username(text, text)
}

// meant is the complaint about a text that has what stands around the field of a rule, but not the field: it was meant
// to be that. Nil where there is no such rule.
func (n *Numbers) meant(text string) error {
	best, found := template{}, error(nil)
	for _, t := range n.templates {
		value, ok := t.peel(text)
		if around := len(t.prefix) + len(t.suffix); !ok || around <= len(best.prefix)+len(best.suffix) {
			continue
		}
		if _, err := n.value(text, t.field.kind, value); err != nil {
			best, found = t, err
		}
	}
	return found
}

// value reads what stands in a rule for the field.
func (n *Numbers) value(text string, kind NumberKind, value string) (Number, error) {
	switch kind {
	case UserID:
		return n.userID(text, value)
	case Phone:
		r, err := n.phone(text, value, "")
		return r.Number, err
	}
	r, err := n.username(text, value)
	return r.Number, err
}

// unclean names what no number form can contain; "" for a text that may be one.
func unclean(text string) string {
	switch {
	case text == "":
		return "nothing was dialled"
	case len(text) > maxDialled:
		return "text is longer than " + strconv.Itoa(maxDialled) + " bytes"
	case !utf8.ValidString(text):
		return "text is not valid UTF-8"
	}
	for _, r := range text {
		switch {
		case r > unicode.MaxASCII && unicode.IsDigit(r):
			return "digit " + strconv.QuoteRune(r) + " is not one of 0-9"
		case r > unicode.MaxASCII && unicode.IsLetter(r):
			return "letter " + strconv.QuoteRune(r) + " is not one of A-Z"
		case r > unicode.MaxASCII || !dialable(byte(r)):
			return "character " + strconv.QuoteRune(r) + " is part of no number"
		}
	}
	return ""
}

// dialable reports whether the byte occurs in any number form or prefix.
func dialable(c byte) bool {
	return isDigit(c) || isLetter(c) || strings.IndexByte("+*#@_-.", c) >= 0
}

func (n *Numbers) userID(text, digits string) (Number, error) {
	switch {
	case !allDigits(digits):
		return Number{}, n.fail(text, UserID, "what should be a user-id is not all digits")
	case digits[0] == '0':
		return Number{}, n.fail(text, UserID, "a user-id does not begin with 0")
	case len(digits) < minUserIDDigits || len(digits) > maxUserIDDigits:
		return Number{}, n.fail(text, UserID, "a user-id has 5 to 20 digits, not "+strconv.Itoa(len(digits)))
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return Number{}, n.fail(text, UserID, "a user-id is not greater than 9223372036854775807")
	}
	return Number{Kind: UserID, UserID: id}, nil
}

// readDigits reads digits without "+": they are international, national, or E.164 that lost its "+" on the way.
func (n *Numbers) readDigits(text string) (Reading, error) {
	r := n.phones
	if rest, ok := strings.CutPrefix(text, r.InternationalPrefix); ok {
		return n.phone(text, rest, "international number after "+r.InternationalPrefix)
	}
	if r.CountryCode != "" {
		how := "national number of +" + r.CountryCode
		rest, prefixed := strings.CutPrefix(text, r.NationalPrefix)
		prefixed = prefixed && r.NationalPrefix != ""
		if prefixed && (r.NationalDigits == 0 || len(rest) == r.NationalDigits) {
			return n.phone(text, r.CountryCode+rest, how)
		}
		if len(text) == r.NationalDigits {
			return n.phone(text, r.CountryCode+text, how)
		}
	}
	reading, err := n.phone(text, text, "phone number without its plus")
	reading.bare = err == nil
	return reading, err
}

func (n *Numbers) phone(text, digits, how string) (Reading, error) {
	switch {
	case !allDigits(digits):
		return Reading{}, n.fail(text, Phone, "what should be a phone number is not all digits")
	case digits[0] == '0':
		return Reading{}, n.fail(text, Phone, "a phone number begins with its country code, which is never 0")
	case len(digits) < minPhoneDigits || len(digits) > maxPhoneDigits:
		return Reading{}, n.fail(text, Phone, "a phone number has 7 to 15 digits with its country code, not "+strconv.Itoa(len(digits)))
	}
	return Reading{Number: Number{Kind: Phone, Phone: "+" + digits}, Matched: ByPhone, How: how}, nil
}

func (n *Numbers) username(text, name string) (Reading, error) {
	switch {
	case len(name) < minUsername || len(name) > maxUsername:
		return Reading{}, n.fail(text, Username, "a username has 4 to 32 characters, not "+strconv.Itoa(len(name)))
	case !isLetter(name[0]):
		return Reading{}, n.fail(text, Username, "a username begins with a letter")
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '_' {
			return Reading{}, n.fail(text, Username, "a username has no "+strconv.QuoteRune(rune(c)))
		}
	}
	return Reading{Number: Number{Kind: Username, Username: name}, Matched: ByUsername, How: "username"}, nil
}

func (n *Numbers) fail(text string, meant NumberKind, problem string) error {
	return &NumberError{Text: text, Meant: meant, Problem: problem, Accepted: n.Accepted()}
}

// NumberError says why a dialled text is no number. Its message holds no part of the text, so that it can be logged.
type NumberError struct {
	Text     string     // what was dialled, as received and unsanitised
	Meant    NumberKind // the form it was taken for; 0 for none
	Problem  string     // what is wrong with it
	Accepted string     // which forms are accepted
}

// Error returns the problem and what is accepted instead.
func (e *NumberError) Error() string {
	return "parse dialled number: " + e.Problem + "; accepted: " + e.Accepted
}

// Reason is the value that callers see in TGTRUNK_REASON.
func (e *NumberError) Reason() string { return "BAD_NUMBER" }

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
