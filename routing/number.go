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
	UserID   NumberKind = iota + 1 // a Telegram user id, 5-20 digits, dialled with a prefix
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

// ParseNumber says what a dialled text means under the rules. The order decides where a text could be read in two ways:
//
//  1. the user-id prefix with digits that do not begin with 0 after it: a user-id;
//  2. "+" and digits: a phone number in E.164;
//  3. "@" and a name: a username;
//  4. digits alone: a phone number, namely
//     international after NumberRules.InternationalPrefix, national after NumberRules.NationalPrefix or with exactly
//     NumberRules.NationalDigits digits, otherwise E.164 without its "+";
//  5. anything else: a username.
//
// So with the prefix "0" the text 00491701234567 is a phone number, because no user-id begins with 0, and 01701234567 is
// a user-id. With a prefix of letters, id12345 is a user-id and @id12345 the username.
//
// The error is a *NumberError.
func ParseNumber(text string, rules NumberRules) (Number, error) {
	rules = rules.withDefaults()
	if problem := unclean(text); problem != "" {
		return Number{}, rules.fail(text, 0, problem)
	}
	if id, ok := strings.CutPrefix(text, rules.UserIDPrefix); ok && looksLikeUserID(id, rules.UserIDPrefix) {
		return rules.parseUserID(text, id)
	}
	if phone, ok := strings.CutPrefix(text, "+"); ok {
		return rules.parseInternational(text, phone)
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		return rules.parseUsername(text, name)
	}
	if allDigits(text) {
		return rules.parseDigits(text)
	}
	return rules.parseUsername(text, text)
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

// looksLikeUserID reports whether what follows the prefix was meant to be a user-id: digits without a leading 0, or
// nothing that another form could explain.
func looksLikeUserID(rest, prefix string) bool {
	if allDigits(rest) {
		return rest[0] != '0' || !allDigits(prefix)
	}
	// "*", "*12a": no phone number and no username begins with * or #, so the complaint is about the user-id.
	return !allDigits(prefix) && !isLetter(prefix[0])
}

func (r NumberRules) parseUserID(text, digits string) (Number, error) {
	switch {
	case !allDigits(digits):
		return Number{}, r.fail(text, UserID, "what follows the prefix "+strconv.Quote(r.UserIDPrefix)+" is not all digits")
	case digits[0] == '0':
		return Number{}, r.fail(text, UserID, "a user-id does not begin with 0")
	case len(digits) < minUserIDDigits || len(digits) > maxUserIDDigits:
		return Number{}, r.fail(text, UserID, "a user-id has 5 to 20 digits, not "+strconv.Itoa(len(digits)))
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return Number{}, r.fail(text, UserID, "a user-id is not greater than 9223372036854775807")
	}
	return Number{Kind: UserID, UserID: id}, nil
}

// parseDigits reads digits without "+": they are international, national, or E.164 that lost its "+" on the way.
func (r NumberRules) parseDigits(text string) (Number, error) {
	if rest, ok := strings.CutPrefix(text, r.InternationalPrefix); ok {
		return r.parseInternational(text, rest)
	}
	if r.CountryCode != "" {
		rest, prefixed := strings.CutPrefix(text, r.NationalPrefix)
		prefixed = prefixed && r.NationalPrefix != ""
		if prefixed && (r.NationalDigits == 0 || len(rest) == r.NationalDigits) {
			return r.parseInternational(text, r.CountryCode+rest)
		}
		if len(text) == r.NationalDigits {
			return r.parseInternational(text, r.CountryCode+text)
		}
	}
	return r.parseInternational(text, text)
}

func (r NumberRules) parseInternational(text, digits string) (Number, error) {
	switch {
	case !allDigits(digits):
		return Number{}, r.fail(text, Phone, "what should be a phone number is not all digits")
	case digits[0] == '0':
		return Number{}, r.fail(text, Phone, "a phone number begins with its country code, which is never 0")
	case len(digits) < minPhoneDigits || len(digits) > maxPhoneDigits:
		return Number{}, r.fail(text, Phone, "a phone number has 7 to 15 digits with its country code, not "+strconv.Itoa(len(digits)))
	}
	return Number{Kind: Phone, Phone: "+" + digits}, nil
}

func (r NumberRules) parseUsername(text, name string) (Number, error) {
	switch {
	case len(name) < minUsername || len(name) > maxUsername:
		return Number{}, r.fail(text, Username, "a username has 4 to 32 characters, not "+strconv.Itoa(len(name)))
	case !isLetter(name[0]):
		return Number{}, r.fail(text, Username, "a username begins with a letter")
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && !isDigit(c) && c != '_' {
			return Number{}, r.fail(text, Username, "a username has no "+strconv.QuoteRune(rune(c)))
		}
	}
	return Number{Kind: Username, Username: name}, nil
}

func (r NumberRules) fail(text string, meant NumberKind, problem string) error {
	return &NumberError{Text: text, Meant: meant, Problem: problem, Accepted: r.Accepted()}
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
