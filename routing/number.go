package routing

// NumberKind says which form a dialled number has.
type NumberKind uint8

// The number forms.
const (
	UserID   NumberKind = iota + 1 // a Telegram user id, 5-20 digits, dialled with a prefix
	Phone                          // a phone number, E.164
	Username                       // a Telegram username
)

// Number is a parsed dialled number. Exactly the field of its Kind is set.
type Number struct {
	Kind     NumberKind
	UserID   int64
	Phone    string // "+" and 7-15 digits
	Username string // without '@', case kept
}
