package routing

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Defaults of NumberRules.
const (
	DefaultUserIDPrefix        = "*"
	DefaultInternationalPrefix = "00"
)

// NumberRules says how numbers are written between a PBX and Telegram, in both directions. The zero value is usable:
// "*" before user-ids, "00" before international numbers, no national numbers.
type NumberRules struct {
	UserIDPrefix        string // before user-ids, dialled and shown; "" means "*"; 1-8 of letters, digits, * # _ - .
	InternationalPrefix string // before an international number dialled without "+"; "" means "00"
	CountryCode         string // of national numbers, digits without "+"; "" refuses national numbers
	NationalPrefix      string // before a national number, such as 0 or 8; "" for none; needs CountryCode
	NationalDigits      int    // length of a national number without its prefix; 0 for any; needs CountryCode
}

func (r NumberRules) withDefaults() NumberRules {
	if r.UserIDPrefix == "" {
		r.UserIDPrefix = DefaultUserIDPrefix
	}
	if r.InternationalPrefix == "" {
		r.InternationalPrefix = DefaultInternationalPrefix
	}
	return r
}

const maxPrefix = 8

// Validate returns what makes the rules unusable, nil for good ones.
func (r NumberRules) Validate() error {
	r = r.withDefaults()
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(r.UserIDPrefix) > maxPrefix {
		refuse("user-id prefix %q is longer than %d characters", r.UserIDPrefix, maxPrefix)
	}
	for _, c := range []byte(r.UserIDPrefix) {
		if !dialable(c) || c == '+' || c == '@' {
			refuse("user-id prefix %q contains %q; letters, digits, * # _ - . are accepted", r.UserIDPrefix, rune(c))
			break
		}
	}
	if !allDigits(r.InternationalPrefix) || len(r.InternationalPrefix) > maxPrefix {
		refuse("international prefix %q is not 1 to %d digits", r.InternationalPrefix, maxPrefix)
	}
	if r.CountryCode != "" && (!allDigits(r.CountryCode) || r.CountryCode[0] == '0' || len(r.CountryCode) > 3) {
		refuse("country code %q is not 1 to 3 digits without a leading 0", r.CountryCode)
	}
	if r.NationalPrefix != "" && (!allDigits(r.NationalPrefix) || len(r.NationalPrefix) > maxPrefix) {
		refuse("national prefix %q is not 1 to %d digits", r.NationalPrefix, maxPrefix)
	}
	if r.NationalDigits != 0 && (r.NationalDigits < 4 || r.NationalDigits > maxPhoneDigits-1) {
		refuse("a national number of %d digits is outside 4 to %d", r.NationalDigits, maxPhoneDigits-1)
	}
	if r.CountryCode == "" && (r.NationalPrefix != "" || r.NationalDigits != 0) {
		refuse("a national prefix or length needs a country code")
	}
	return errors.Join(errs...)
}

// Warnings says which habits of PBXs the rules collide with; calls still work as ParseNumber documents.
func (r NumberRules) Warnings() []string {
	r = r.withDefaults()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	p := r.UserIDPrefix
	switch {
	case p == "*" || p == "#" || p == "**":
		add("user-id prefix %q collides with the feature codes of most PBXs (*72, *97, …); a longer one such as *99 does not", p)
	case p == "0":
		add("user-id prefix %q collides with national numbers such as 030123456 and with an outside line on 0; a longer one such as *99 does not", p)
	case allDigits(p):
		add("user-id prefix %q collides with phone numbers that begin with it: they are taken for user-ids; *99 does not", p)
	}
	if strings.HasPrefix(r.InternationalPrefix, p) && p != "0" {
		add("user-id prefix %q is the beginning of the international prefix %q", p, r.InternationalPrefix)
	}
	if r.NationalPrefix != "" && (strings.HasPrefix(r.NationalPrefix, p) || strings.HasPrefix(p, r.NationalPrefix)) {
		add("user-id prefix %q and national prefix %q begin alike: what matches both is a user-id", p, r.NationalPrefix)
	}
	return out
}

// Accepted lists the number forms in words for messages: what can be dialled under these rules.
func (r NumberRules) Accepted() string {
	r = r.withDefaults()
	phone := "+<phone number>"
	if r.CountryCode != "" {
		phone += " (national numbers get +" + r.CountryCode + ")"
	}
	return r.UserIDPrefix + "<user-id>, " + phone + " or @<username>"
}

// Render returns the text that ParseNumber reads back as n: for a user-id the prefix and the digits, for a phone number
// E.164 with "+", for a username the bare name, or with "@" where the bare name would be read as something else.
// It is "" for the zero Number.
func (r NumberRules) Render(n Number) string {
	r = r.withDefaults()
	switch n.Kind {
	case UserID:
		return r.UserIDPrefix + strconv.FormatInt(n.UserID, 10)
	case Phone:
		return n.Phone
	case Username:
		if got, err := ParseNumber(n.Username, r); err != nil || got != n {
			return "@" + n.Username
		}
		return n.Username
	}
	return ""
}

// CallerID returns the number that a PBX is shown for a Telegram user, chosen so that dialling it calls the user back:
// the phone number where it is visible, else the user-id with its prefix, else the username; "" for a party of whom
// nothing is known, and for facts that are no valid number.
func (r NumberRules) CallerID(p Party) string {
	for _, n := range p.numbers() {
		text := r.Render(n)
		if _, err := ParseNumber(text, r); err == nil {
			return text
		}
	}
	return ""
}

// numbers returns the ways to reach the party, the best known first.
func (p Party) numbers() []Number {
	var out []Number
	if p.Phone != "" {
		out = append(out, Number{Kind: Phone, Phone: "+" + strings.TrimPrefix(p.Phone, "+")})
	}
	if p.UserID > 0 {
		out = append(out, Number{Kind: UserID, UserID: p.UserID})
	}
	if p.Username != "" {
		out = append(out, Number{Kind: Username, Username: strings.TrimPrefix(p.Username, "@")})
	}
	return out
}
