package cloud

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
)

// Audience says for whom something is open.
type Audience string

// The audiences of Privacy.
const (
	Everybody Audience = "everybody"
	Contacts  Audience = "contacts" // only users in one's own contact list
	Nobody    Audience = "nobody"
)

// Privacy of a user. Empty means the default that Telegram gives a new account.
type Privacy struct {
	Calls  Audience `yaml:"calls"`  // who may call; default everybody
	P2P    Audience `yaml:"p2p"`    // with whom calls may be direct; default everybody
	Phone  Audience `yaml:"phone"`  // who sees the phone number; default contacts
	Lookup Audience `yaml:"lookup"` // who finds the user by phone number; default everybody
	Invite Audience `yaml:"invite"` // who may invite the user to groups; default everybody
}

func (p Privacy) withDefaults() Privacy {
	def(&p.Calls, Everybody)
	def(&p.P2P, Everybody)
	def(&p.Invite, Everybody)
	def(&p.Phone, Contacts)
	def(&p.Lookup, Everybody)
	return p
}

// User is one account of the simulated Telegram, as users.yaml lists them.
type User struct {
	ID        int64   `yaml:"id"`
	Phone     string  `yaml:"phone"` // digits, a leading + is allowed
	Username  string  `yaml:"username"`
	FirstName string  `yaml:"first_name"` // default: the username, else "User" and the id
	LastName  string  `yaml:"last_name"`
	Code      string  `yaml:"code"`      // fixed login code; empty: a fresh one each time, see Control.LoginCode
	Password  string  `yaml:"password"`  // second factor; empty: none
	BotToken  string  `yaml:"bot_token"` // a bot: cannot be called and logs in with this
	Privacy   Privacy `yaml:"privacy"`
}

// LogValue implements slog.LogValuer: no secrets, no whole phone number.
func (u User) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("id", u.ID), slog.String("phone", maskPhone(u.Phone)))
}

// LoadUsers reads a yaml file with a list `users:`. Unknown keys, wrong values and duplicates are refused; the error names the line.
func LoadUsers(path string) ([]User, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	users, err := parseUsers(text)
	if err != nil {
		return nil, fmt.Errorf("read users of %s: %w", path, err)
	}
	return users, nil
}

// parseUsers also catches panics of the yaml decoder, which some broken files bring about (a tag without a value).
func parseUsers(text []byte) (users []User, err error) {
	defer func() {
		if p := recover(); p != nil {
			users, err = nil, fmt.Errorf("decode yaml: %v", p)
		}
	}()
	var file struct {
		Users []User `yaml:"users"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	if len(file.Users) == 0 {
		return nil, errors.New("no users listed")
	}
	for i := range file.Users {
		if err := file.Users[i].check(); err != nil {
			return nil, fmt.Errorf("line %d: %w", userLine(text, i), err)
		}
		if err := checkUsers(file.Users[:i+1]); err != nil {
			return nil, fmt.Errorf("line %d: %w", userLine(text, i), err)
		}
	}
	return file.Users, nil
}

// userLine finds the line of the i-th user, for errors that the decoder cannot see. 1 when it cannot be found.
func userLine(text []byte, i int) int {
	path, err := yaml.PathString(fmt.Sprintf("$.users[%d]", i))
	if err != nil {
		return 1
	}
	node, err := path.ReadNode(strings.NewReader(string(text)))
	if err != nil || node == nil || node.GetToken() == nil {
		return 1
	}
	return node.GetToken().Position.Line
}

var (
	phonePattern    = regexp.MustCompile(`^\+?[0-9]{5,15}$`)
	usernamePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{3,31}$`)
)

func (u User) check() error {
	switch {
	case u.ID <= 0 || u.ID >= 1<<40:
		return fmt.Errorf("accept user id %d: want a positive number below 2^40", u.ID)
	case u.ID == serviceUser:
		return fmt.Errorf("accept user id %d: it is Telegram's own", u.ID)
	case u.BotToken == "" && !phonePattern.MatchString(u.Phone):
		return fmt.Errorf("accept phone of user %d: want 5 to 15 digits", u.ID)
	case u.Username != "" && !usernamePattern.MatchString(u.Username):
		return fmt.Errorf("accept username %q: want 4 to 32 letters, digits or _", u.Username)
	case strings.Trim(u.Code, "0123456789") != "" || len(u.Code) > 10:
		return fmt.Errorf("accept code of user %d: want up to 10 digits", u.ID)
	}
	for name, a := range map[string]Audience{"calls": u.Privacy.Calls, "p2p": u.Privacy.P2P, "phone": u.Privacy.Phone, "lookup": u.Privacy.Lookup} {
		switch a {
		case "", Everybody, Contacts, Nobody:
		default:
			return fmt.Errorf("accept privacy.%s %q of user %d: want everybody, contacts or nobody", name, a, u.ID)
		}
	}
	return nil
}

// checkUsers refuses broken and duplicate users.
func checkUsers(users []User) error {
	ids, phones, names := map[int64]bool{}, map[string]bool{}, map[string]bool{}
	for _, u := range users {
		if err := u.check(); err != nil {
			return err
		}
		phone, name := digits(u.Phone), strings.ToLower(u.Username)
		switch {
		case ids[u.ID]:
			return fmt.Errorf("accept user id %d: it is listed twice", u.ID)
		case phone != "" && phones[phone]:
			return fmt.Errorf("accept phone of user %d: it is listed twice", u.ID)
		case name != "" && names[name]:
			return fmt.Errorf("accept username %q: it is listed twice", u.Username)
		}
		ids[u.ID], phones[phone], names[name] = true, true, true
	}
	return nil
}

// digits is the phone number in Telegram's own form: digits only.
func digits(phone string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
}

func maskPhone(phone string) string {
	d := digits(phone)
	if len(d) < 5 {
		return "***"
	}
	return d[:3] + strings.Repeat("*", len(d)-5) + d[len(d)-2:]
}
