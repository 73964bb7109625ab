package cloud

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"

	"strings"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

const (
	codeLife  = 5 * time.Minute
	codeTries = 5
	codeSize  = 5
)

// loginCode is a code that was sent and not used. Guarded by Server.mu.
type loginCode struct {
	dev     *device
	phone   string
	code    string
	user    *account // nil: nobody has the number
	expires time.Time
	tries   int
}

func addAuth(m methods) {
	onOpen(m, (*request).sendCode)
	onOpen(m, (*request).resendCode)
	onOpen(m, (*request).cancelCode)
	onOpen(m, (*request).signIn)
	onOpen(m, func(*request, *tg.AuthSignUpRequest) (bin.Encoder, error) {
		return nil, fail(400, "PHONE_NUMBER_UNOCCUPIED") // users come from the file only
	})
	onOpen(m, (*request).botLogin)
	on(m, (*request).logOut)
	on(m, (*request).exportAuthorization)
	onOpen(m, (*request).importAuthorization)
	onOpen(m, func(*request, *tg.AuthDropTempAuthKeysRequest) (bin.Encoder, error) { return yes() })
	on(m, (*request).resetAuthorizations)
}

var apiHash = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)

// checkApp says whether the api_id and api_hash of a client are taken.
func (r *request) checkApp(id int, hash string) error {
	if len(r.opts.Apps) > 0 {
		if want, ok := r.opts.Apps[id]; !ok || want != hash {
			return fail(400, "API_ID_INVALID")
		}
		return nil
	}
	if id <= 0 || !apiHash.MatchString(hash) {
		return fail(400, "API_ID_INVALID")
	}
	return nil
}

func (r *request) sendCode(q *tg.AuthSendCodeRequest) (bin.Encoder, error) {
	if err := r.checkApp(q.APIID, q.APIHash); err != nil {
		return nil, err
	}
	phone := digits(q.PhoneNumber)
	if !phonePattern.MatchString(phone) || strings.Trim(q.PhoneNumber, "+0123456789 ()-") != "" {
		return nil, fail(400, "PHONE_NUMBER_INVALID")
	}
	c := &loginCode{dev: r.dev, phone: phone, user: r.byPhone[phone], expires: r.now().Add(codeLife)}
	if c.user != nil {
		c.code = c.user.Code
	}
	if c.code == "" {
		n, err := rand.Int(rand.Reader, big.NewInt(100000))
		if err != nil {
			return nil, fmt.Errorf("generate code: %w", err)
		}
		c.code = fmt.Sprintf("%0*d", codeSize, n)
	}
	hash, err := randomHex(9)
	if err != nil {
		return nil, err
	}
	r.forgetCodes(func(old *loginCode) bool { return old.dev == r.dev || r.now().After(old.expires) })
	r.codes[hash] = c
	r.deliverCode(c)
	return &tg.AuthSentCode{
		Type: &tg.AuthSentCodeTypeApp{Length: len(c.code)}, PhoneCodeHash: hash, NextType: &tg.AuthCodeTypeSMS{}, Timeout: 60,
	}, nil
}

func randomHex(n int) (string, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("generate hash: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// deliverCode writes the code to the user's other devices, as Telegram does.
func (s *Server) deliverCode(c *loginCode) {
	if c.user == nil || len(c.user.devices) == 0 {
		return
	}
	s.deliver(s.accounts[serviceUser], c.user, "Login code: "+c.code+". Do not give this code to anyone.", nil, nil)
}

func (s *Server) forgetCodes(which func(*loginCode) bool) {
	for hash, c := range s.codes {
		if which(c) {
			delete(s.codes, hash)
		}
	}
}

// openCode finds the code that a client names.
func (r *request) openCode(hash, phone string) (*loginCode, error) {
	if hash == "" {
		return nil, fail(400, "PHONE_CODE_HASH_EMPTY")
	}
	c := r.codes[hash]
	if c == nil || c.phone != digits(phone) || r.now().After(c.expires) {
		delete(r.codes, hash)
		return nil, fail(400, "PHONE_CODE_EXPIRED")
	}
	return c, nil
}

func (r *request) resendCode(q *tg.AuthResendCodeRequest) (bin.Encoder, error) {
	c, err := r.openCode(q.PhoneCodeHash, q.PhoneNumber)
	if err != nil {
		return nil, err
	}
	c.expires = r.now().Add(codeLife)
	return &tg.AuthSentCode{Type: &tg.AuthSentCodeTypeSMS{Length: len(c.code)}, PhoneCodeHash: q.PhoneCodeHash}, nil
}

func (r *request) cancelCode(q *tg.AuthCancelCodeRequest) (bin.Encoder, error) {
	if _, err := r.openCode(q.PhoneCodeHash, q.PhoneNumber); err != nil {
		return nil, err
	}
	delete(r.codes, q.PhoneCodeHash)
	return yes()
}

func (r *request) signIn(q *tg.AuthSignInRequest) (bin.Encoder, error) {
	c, err := r.openCode(q.PhoneCodeHash, q.PhoneNumber)
	if err != nil {
		return nil, err
	}
	switch {
	case q.PhoneCode == "":
		return nil, fail(400, "PHONE_CODE_EMPTY")
	case c.user == nil:
		return nil, fail(400, "PHONE_NUMBER_UNOCCUPIED")
	case q.PhoneCode != c.code:
		if c.tries++; c.tries >= codeTries {
			delete(r.codes, q.PhoneCodeHash)
		}
		return nil, fail(400, "PHONE_CODE_INVALID")
	}
	delete(r.codes, q.PhoneCodeHash)
	return r.enter(c.user)
}

// enter logs a user in who has shown the first factor; the second may be missing.
func (r *request) enter(user *account) (bin.Encoder, error) {
	if user.password != nil {
		r.logout(r.dev)
		r.dev.pending = user
		return nil, fail(401, "SESSION_PASSWORD_NEEDED")
	}
	return r.admitted(user), nil
}

func (r *request) admitted(user *account) *tg.AuthAuthorization {
	r.login(r.dev, user)
	return &tg.AuthAuthorization{User: r.userFor(user, user)}
}

func (r *request) botLogin(q *tg.AuthImportBotAuthorizationRequest) (bin.Encoder, error) {
	if err := r.checkApp(q.APIID, q.APIHash); err != nil {
		return nil, err
	}
	for _, a := range r.accounts {
		if a.bot() && a.BotToken == q.BotAuthToken {
			return r.admitted(a), nil
		}
	}
	return nil, fail(400, "ACCESS_TOKEN_INVALID")
}

func (r *request) logOut(*tg.AuthLogOutRequest) (bin.Encoder, error) {
	r.logout(r.dev)
	return &tg.AuthLoggedOut{}, nil
}

// exported is a login on its way to another DC of the same server.
type exported struct {
	user    *account
	expires time.Time
}

func (r *request) exportAuthorization(q *tg.AuthExportAuthorizationRequest) (bin.Encoder, error) {
	if q.DCID < 1 || q.DCID > 5 {
		return nil, fail(400, "DC_ID_INVALID")
	}
	bytes := make([]byte, 32)
	if _, err := rand.Read(bytes); err != nil {
		return nil, fmt.Errorf("generate authorization: %w", err)
	}
	for k, e := range r.exports {
		if r.now().After(e.expires) {
			delete(r.exports, k)
		}
	}
	r.exports[string(bytes)] = exported{user: r.me, expires: r.now().Add(time.Minute)}
	return &tg.AuthExportedAuthorization{ID: r.me.ID, Bytes: bytes}, nil
}

func (r *request) importAuthorization(q *tg.AuthImportAuthorizationRequest) (bin.Encoder, error) {
	e, ok := r.exports[string(q.Bytes)]
	if !ok || e.user.ID != q.ID || r.now().After(e.expires) {
		return nil, fail(400, "AUTH_BYTES_INVALID")
	}
	delete(r.exports, string(q.Bytes))
	return r.admitted(e.user), nil
}

func (r *request) resetAuthorizations(*tg.AuthResetAuthorizationsRequest) (bin.Encoder, error) {
	for _, d := range r.me.sortedDevices() {
		if d != r.dev {
			r.logout(d)
			d.disconnect()
		}
	}
	return yes()
}
