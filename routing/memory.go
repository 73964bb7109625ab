package routing

import "strings"

// Presented is what a PBX was shown of a Telegram user. Whoever remembers it gives it back with a later Request, so that
// calling back works although the PBX has changed the number on the way (Request.Remembered).
type Presented struct {
	Number   string     // as shown
	Own      string     // the digits in it that are the user's own, see recall; "" where there are none
	Kind     NumberKind // of the field that was shown
	UserID   int64
	Username string // without '@'; "" where unknown
	Phone    string // E.164 with '+'; "" where unknown
}

// presented returns what is worth remembering of a caller; nil for one who cannot be called back.
func (n *Numbers) presented(p Party) *Presented {
	if p.UserID <= 0 || p.Number == "" {
		return nil
	}
	for _, t := range n.orDefault().templates {
		value, ok := t.read(p.Number)
		if !ok {
			continue
		}
		out := &Presented{Number: p.Number, Kind: t.field.kind, UserID: p.UserID}
		for _, number := range p.numbers() {
			switch number.Kind {
			case Username:
				out.Username = number.Username
			case Phone:
				out.Phone = number.Phone
			}
		}
		switch t.field.kind {
		case UserID:
			out.Own = value + onlyDigits(t.suffix)
		case Phone:
			out.Own = value[countryCodeLen(value):] + onlyDigits(t.suffix)
		}
		return out
	}
	return nil
}

// Limits of what recall takes for a changed prefix.
const (
	maxChangedPrefix = 4 // digits in front of the user's own: 8, 00, 7, 0049
	minRecalledID    = 9 // digits of a user-id that may have something in front
	minRecalledPhone = 7 // digits of a phone number without its country code
)

// recall returns whom a dialled text means by what the PBX was shown before, for a text that was read as r, or not at
// all (failed). What an alias or a caller-ID rule reads stays as it is, and otherwise
//
//  1. the same text as was shown, letters in any case, is that user, the one it was shown for last;
//  2. digits that end in a user's own are that user: with at most four digits in front of them (+ * # and the like do not
//     count). A user's own digits are a whole user-id, or a phone number without its country code, of at least seven.
//
// The second is a guess, so it stays out of the way of what is certain. A remembered phone number gives way to any text
// that says itself which phone number it is: with +, with the international prefix, national. A user-id does not, as PBXs
// put +7 or 00 before whatever is all digits; but one with fewer than nine digits could be the end of too many phone
// numbers, and must stand alone. If the digits end in those of two users, or are a remembered phone number as they are,
// nobody is recalled.
//
// known is in any order but for equal texts: the last shown comes first.
func recall(dialled string, r Reading, failed bool, known []Presented) (Presented, bool) {
	if r.Matched == ByAlias || r.Matched == ByCallerID && r.Number.Kind != Phone {
		return Presented{}, false
	}
	for _, p := range known {
		switch {
		case !strings.EqualFold(p.Number, dialled):
		case r.Matched == ByCallerID:
			return Presented{}, false
		default:
			return p, true
		}
	}
	digits := onlyDigits(dialled)
	if strings.ContainsFunc(dialled, func(c rune) bool { return isLetter(byte(c)) }) || digits == "" {
		return Presented{}, false
	}
	var found Presented
	for _, p := range known {
		if !p.endsIn(digits, failed || r.bare) {
			if p.Phone != "" && p.Phone == r.Number.Phone {
				return Presented{}, false
			}
			continue
		}
		if found.UserID != 0 && found.UserID != p.UserID {
			return Presented{}, false
		}
		found = p
	}
	return found, found.UserID != 0
}

// endsIn reports whether digits that were dialled end in the user's own; loose says that they are no certain phone number.
func (p Presented) endsIn(digits string, loose bool) bool {
	front, ok := strings.CutSuffix(digits, p.Own)
	switch {
	case !ok || p.Own == "" || len(front) > maxChangedPrefix:
		return false
	case p.Kind == UserID:
		return len(p.Own) >= minRecalledID || loose && front == ""
	case p.Kind == Phone:
		return loose && len(p.Own) >= minRecalledPhone
	}
	return false
}

// reading is what a recalled text means: the user by id, else as it was known.
func (p Presented) reading() Reading {
	return Reading{
		Number: Number{Kind: UserID, UserID: p.UserID}, Matched: ByMemory, How: "number memory, shown as " + p.Number,
		Others: Party{Username: p.Username, Phone: p.Phone}.numbers(),
	}
}

func onlyDigits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isDigit(byte(r)) {
			return r
		}
		return -1
	}, text)
}

// countryCodeLen returns how many of the first digits of an E.164 number are its country code: 1 and 7 have one digit,
// these have two, all others three (ITU-T E.164, list of assigned country codes).
func countryCodeLen(digits string) int {
	const two = " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 "
	switch {
	case digits[0] == '1' || digits[0] == '7':
		return 1
	case strings.Contains(two, " "+digits[:2]+" "):
		return 2
	}
	return 3
}
