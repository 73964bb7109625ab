package routing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// CallerRule is one way to write a Telegram user as a number, such as *{userid}: one of the fields {userid}, {username}
// and {phone} (digits without plus), with text before and behind it.
type CallerRule struct {
	Text string
	Line int // in the configuration file; 0 where unknown
}

// defaultCallerID are the caller-ID rules where there are none: whoever shows his phone number is shown by it.
var defaultCallerID = []string{"+{phone}", "*{userid}", "{username}"}

// DefaultInternationalPrefix stands before international numbers dialled without "+", unless NumberRules say otherwise.
const DefaultInternationalPrefix = "00"

// NumberRules says how numbers are written between a PBX and Telegram, in both directions. The zero value is usable: the
// default caller-ID rules, "00" before international numbers, no national numbers.
type NumberRules struct {
	// CallerID are tried in order: the first whose field is known of a user is how a PBX sees the user. What is dialled
	// is read back by them. Nil means +{phone}, *{userid}, {username}.
	CallerID            []CallerRule
	InternationalPrefix string            // before an international number dialled without "+"; "" means "00"
	CountryCode         string            // of national numbers, digits without "+"; "" refuses national numbers
	NationalPrefix      string            // before a national number, such as 0 or 8; "" for none; needs CountryCode
	NationalDigits      int               // length of a national number without its prefix; 0 for any; needs CountryCode
	Aliases             map[string]string // what is dialled, exactly, to a number in any form
}

const (
	maxPrefix      = 8
	maxCallerRules = 16
)

// Numbers reads and writes numbers by checked NumberRules. It is immutable; the nil Numbers goes by the zero NumberRules.
type Numbers struct {
	rules     []callerRule
	phones    NumberRules // how phone numbers are dialled
	templates []template  // of rules, for what only looks at them
	aliases   map[string]Number
	warnings  []Warning
}

// callerRule is a checked CallerRule.
type callerRule struct {
	template
	line int
}

// NewNumbers checks rules. The error joins one error for everything that is wrong; those about caller-ID rules are a
// *CallerRuleError, those about aliases an *AliasError.
func NewNumbers(r NumberRules) (*Numbers, error) {
	if r.InternationalPrefix == "" {
		r.InternationalPrefix = DefaultInternationalPrefix
	}
	if r.CallerID == nil {
		for _, text := range defaultCallerID {
			r.CallerID = append(r.CallerID, CallerRule{Text: text})
		}
	}
	n := &Numbers{phones: r, aliases: make(map[string]Number, len(r.Aliases))}
	errs := []error{r.checkPhones()}
	errs = append(errs, n.takeCallerRules(r.CallerID)...)
	errs = append(errs, n.takeAliases(r.Aliases)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	n.warnings = n.warn()
	return n, nil
}

// CallerRuleError says what is wrong with a caller-ID rule.
type CallerRuleError struct {
	Line    int // in the configuration file; 0 where unknown
	Problem string
}

// Error returns the problem.
func (e *CallerRuleError) Error() string { return e.Problem }

// AliasError says what is wrong with an alias.
type AliasError struct {
	Dialled string
	Problem string
}

// Error returns the problem with the alias's name.
func (e *AliasError) Error() string { return "alias " + strconv.Quote(e.Dialled) + ": " + e.Problem }

func (n *Numbers) takeCallerRules(rules []CallerRule) (errs []error) {
	refuse := func(line int, format string, args ...any) {
		errs = append(errs, &CallerRuleError{Line: line, Problem: fmt.Sprintf(format, args...)})
	}
	if len(rules) == 0 || len(rules) > maxCallerRules {
		refuse(0, "there are %d caller-id rules; write 1 to %d, or leave them out for the default", len(rules), maxCallerRules)
	}
	for _, r := range rules {
		t, err := parseTemplate(r.Text)
		if err != nil {
			refuse(r.Line, "%v", err)
			continue
		}
		for _, earlier := range n.rules {
			if text, both := overlap(earlier.template, t); both {
				refuse(r.Line, "caller-id rules %q%s and %q%s can both mean %q: change what stands around a field",
					earlier.template, at(earlier.line), t, at(r.Line), text)
				break
			}
		}
		n.rules = append(n.rules, callerRule{t, r.Line})
		n.templates = append(n.templates, t)
	}
	return errs
}

func (n *Numbers) takeAliases(aliases map[string]string) (errs []error) {
	for _, dialled := range slices.Sorted(maps.Keys(aliases)) {
		text := aliases[dialled]
		refuse := func(format string, args ...any) {
			errs = append(errs, &AliasError{Dialled: dialled, Problem: fmt.Sprintf(format, args...)})
		}
		if problem := unclean(dialled); problem != "" {
			refuse("it can never be dialled: %s", problem)
			continue
		}
		for _, r := range n.rules {
			if _, ok := r.read(dialled); ok {
				refuse("the caller-id rule %q%s reads it as a number of its own", r.template, at(r.line))
			}
		}
		number, err := n.readForm(text)
		if err != nil {
			refuse("%v", err)
			continue
		}
		key := strings.ToLower(dialled)
		if _, twice := n.aliases[key]; twice {
			refuse("it differs from another one by the case of letters only")
		}
		n.aliases[key] = number.Number
	}
	return errs
}

// checkPhones returns what makes the rules for phone numbers unusable.
func (r NumberRules) checkPhones() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
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

// Accepted lists the number forms in words for messages: what can be dialled under these rules.
func (n *Numbers) Accepted() string {
	n = n.orDefault()
	var forms []string
	word := map[NumberKind]string{UserID: "<user-id>", Phone: "<phone number>", Username: "<username>"}
	plus, name := false, false
	for _, t := range n.templates {
		forms = append(forms, t.prefix+word[t.field.kind]+t.suffix)
		plus = plus || t.field.kind == Phone && t.prefix == "+" && t.suffix == ""
		name = name || t.field.kind == Username && (t.prefix == "" || t.prefix == "@") && t.suffix == ""
	}
	if !plus {
		forms = append(forms, "+<phone number>")
	}
	if !name {
		forms = append(forms, "@<username>")
	}
	out := strings.Join(forms[:len(forms)-1], ", ") + " or " + forms[len(forms)-1]
	if n.phones.CountryCode != "" {
		out += "; national numbers get +" + n.phones.CountryCode
	}
	return out
}

// orDefault makes the nil Numbers usable.
func (n *Numbers) orDefault() *Numbers {
	if n != nil {
		return n
	}
	n, _ = NewNumbers(NumberRules{}) // the zero rules are good (TestDefaultRules)
	return n
}

// Shown is how a Telegram user is shown to a PBX.
type Shown struct {
	Number string // "" where nothing is known that could be dialled
	Rule   string // the caller-ID rule that made it
}

// CallerID returns the number that a PBX is shown for a Telegram user: that of the first rule whose field is known and
// well formed. Reading it (Read) gives that field's value back.
func (n *Numbers) CallerID(p Party) Shown {
	for _, r := range n.orDefault().rules {
		if text := r.write(p.field(r.field.kind)); text != "" && (r.field.kind != UserID || p.UserID > 0) {
			return Shown{Number: text, Rule: r.String()}
		}
	}
	return Shown{}
}

// field returns what is known of a party in the form that fields have; "" where it is unknown.
func (p Party) field(kind NumberKind) string {
	switch kind {
	case UserID:
		return strconv.FormatInt(p.UserID, 10)
	case Phone:
		return strings.TrimPrefix(p.Phone, "+") // Telegram leaves the plus out
	case Username:
		return strings.TrimPrefix(p.Username, "@")
	}
	return ""
}

// numbers returns the ways to reach the party, the surest first.
func (p Party) numbers() []Number {
	var out []Number
	if p.UserID > 0 {
		out = append(out, Number{Kind: UserID, UserID: p.UserID})
	}
	if text := p.field(Username); usernameField.has(text) {
		out = append(out, Number{Kind: Username, Username: text})
	}
	if text := p.field(Phone); phoneField.has(text) {
		out = append(out, Number{Kind: Phone, Phone: "+" + text})
	}
	return out
}
