package cloud

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gotd/td/session"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/telegram/auth/qrlogin"
	"github.com/gotd/td/telegram/dcs"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"github.com/gotd/td/transport"
)

func TestLoginByCode(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := connect(t, s, clientOptions{})
	_, err := c.api.UsersGetUsers(ctxOf(t), []tg.InputUserClass{&tg.InputUserSelf{}})
	wantError(t, err, 401, "AUTH_KEY_UNREGISTERED")
	c.login(testUsers()[0])
	self, err := c.Self(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if self.ID != alice || self.Phone != "99966110001" || self.FirstName != "Alice" || !self.Self {
		t.Fatalf("self is %+v", self)
	}
	if _, err := c.api.AuthLogOut(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	_, err = c.api.UsersGetUsers(ctxOf(t), []tg.InputUserClass{&tg.InputUserSelf{}})
	wantError(t, err, 401, "AUTH_KEY_UNREGISTERED")
}

func TestLoginOverEveryTransport(t *testing.T) {
	s, _ := startServer(t, Options{})
	for name, p := range map[string]dcs.PlainOptions{
		"abridged": {Protocol: transport.Abridged}, "intermediate": {Protocol: transport.Intermediate},
		"padded": {Protocol: transport.PaddedIntermediate}, "full": {Protocol: transport.Full}, "obfuscated": {Obfuscated: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, s, clientOptions{resolver: dcs.Plain(p)})
			c.login(testUsers()[0])
			c.stop()
		})
	}
}

func TestLoginWithPFS(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := connect(t, s, clientOptions{pfs: true})
	c.login(testUsers()[0])
	if _, err := c.Self(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	temporary := 0
	s.keys.mu.RLock()
	for id := range s.keys.bound {
		if s.keys.bound[id] != 0 {
			temporary++
		}
	}
	s.keys.mu.RUnlock()
	if temporary == 0 {
		t.Fatal("no temporary key was bound")
	}
}

func TestWrongLogins(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := connect(t, s, clientOptions{})
	send := func(phone string) (string, error) {
		sent, err := c.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: phone, APIID: 17, APIHash: hashOfApp})
		if err != nil {
			return "", err
		}
		return sent.(*tg.AuthSentCode).PhoneCodeHash, nil
	}
	sign := func(phone, hash, code string) error {
		_, err := c.api.AuthSignIn(ctxOf(t), &tg.AuthSignInRequest{PhoneNumber: phone, PhoneCodeHash: hash, PhoneCode: code})
		return err
	}
	_, err := send("not a number")
	wantError(t, err, 400, "PHONE_NUMBER_INVALID")
	_, err = c.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: "99966110001", APIID: 17, APIHash: "short"})
	wantError(t, err, 400, "API_ID_INVALID")
	_, err = c.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: "99966110001", APIHash: hashOfApp})
	wantError(t, err, 400, "API_ID_INVALID")

	hash, err := send("+999 66 199999")
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, sign("99966199999", hash, "11111"), 400, "PHONE_NUMBER_UNOCCUPIED")
	_, err = c.api.AuthSignUp(ctxOf(t), &tg.AuthSignUpRequest{PhoneNumber: "99966199999", PhoneCodeHash: hash, FirstName: "New"})
	wantError(t, err, 400, "PHONE_NUMBER_UNOCCUPIED")

	if hash, err = send("+99966110001"); err != nil {
		t.Fatal(err)
	}
	wantError(t, sign("99966110001", hash, "00000"), 400, "PHONE_CODE_INVALID")
	wantError(t, sign("99966110001", hash, ""), 400, "PHONE_CODE_EMPTY")
	wantError(t, sign("99966110001", "", "11111"), 400, "PHONE_CODE_HASH_EMPTY")
	wantError(t, sign("99966110002", hash, "11111"), 400, "PHONE_CODE_EXPIRED")

	if hash, err = send("+99966110001"); err != nil {
		t.Fatal(err)
	}
	for range codeTries {
		wantError(t, sign("99966110001", hash, "00000"), 400, "PHONE_CODE_INVALID")
	}
	wantError(t, sign("99966110001", hash, "11111"), 400, "PHONE_CODE_EXPIRED")

	if hash, err = send("+99966110001"); err != nil {
		t.Fatal(err)
	}
	s.Control().ExpireCodes("+99966110001")
	wantError(t, sign("99966110001", hash, "11111"), 400, "PHONE_CODE_EXPIRED")

	if hash, err = send("+99966110001"); err != nil {
		t.Fatal(err)
	}
	again, err := c.api.AuthResendCode(ctxOf(t), &tg.AuthResendCodeRequest{PhoneNumber: "99966110001", PhoneCodeHash: hash})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.(*tg.AuthSentCode).Type.(*tg.AuthSentCodeTypeSMS); !ok {
		t.Fatalf("resent as %T", again.(*tg.AuthSentCode).Type)
	}
	if _, err := c.api.AuthCancelCode(ctxOf(t), &tg.AuthCancelCodeRequest{PhoneNumber: "99966110001", PhoneCodeHash: hash}); err != nil {
		t.Fatal(err)
	}
	wantError(t, sign("99966110001", hash, "11111"), 400, "PHONE_CODE_EXPIRED")

	s.Control().FloodNext(0, "auth.sendCode", 42)
	_, err = send("+99966110001")
	wantError(t, err, 420, "FLOOD_WAIT_42")
}

func TestAppsList(t *testing.T) {
	s, _ := startServer(t, Options{Apps: map[int]string{17: hashOfApp}})
	c := connect(t, s, clientOptions{})
	c.login(testUsers()[0])
	other := connect(t, s, clientOptions{appID: 18, appHash: hashOfApp})
	_, err := other.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: "99966110001", APIID: 18, APIHash: hashOfApp})
	wantError(t, err, 400, "API_ID_INVALID")
}

func TestPassword(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := connect(t, s, clientOptions{})
	sent, err := c.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: "99966110003", APIID: 17, APIHash: hashOfApp})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.api.AuthSignIn(ctxOf(t), &tg.AuthSignInRequest{PhoneNumber: "99966110003", PhoneCodeHash: sent.(*tg.AuthSentCode).PhoneCodeHash, PhoneCode: "33333"})
	wantError(t, err, 401, "SESSION_PASSWORD_NEEDED")
	_, err = c.api.UpdatesGetState(ctxOf(t))
	wantError(t, err, 401, "SESSION_PASSWORD_NEEDED")
	if _, err := c.Auth().Password(ctxOf(t), "battery staple"); err != auth.ErrPasswordInvalid {
		t.Fatalf("wrong password: %v", err)
	}
	_, err = c.api.AuthCheckPassword(ctxOf(t), &tg.InputCheckPasswordSRP{SRPID: 5, A: make([]byte, 256), M1: make([]byte, 32)})
	wantError(t, err, 400, "SRP_ID_INVALID")
	a, err := c.Auth().Password(ctxOf(t), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if a.User.GetID() != carol {
		t.Fatalf("logged in as %d", a.User.GetID())
	}
}

func TestPasswordFlow(t *testing.T) {
	s, _ := startServer(t, Options{})
	connect(t, s, clientOptions{}).login(testUsers()[2])
}

func TestLoginCodeArrivesAsMessage(t *testing.T) {
	users := testUsers()
	s, _ := startServer(t, Options{Users: users})
	first := loggedIn(t, s, alice)
	second := connect(t, s, clientOptions{})
	if _, err := second.api.AuthSendCode(ctxOf(t), &tg.AuthSendCodeRequest{PhoneNumber: "99966110001", APIID: 17, APIHash: hashOfApp}); err != nil {
		t.Fatal(err)
	}
	u := await[*tg.UpdateNewMessage](first, nil)
	m := u.Message.(*tg.Message)
	if p, ok := m.PeerID.(*tg.PeerUser); !ok || p.UserID != serviceUser {
		t.Fatalf("code came from %v", m.PeerID)
	}
	if s.Control().LoginCode("+99966110001") != "11111" {
		t.Fatal("LoginCode does not know the code")
	}
}

func TestLoginByQR(t *testing.T) {
	for _, user := range []int{0, 2} { // without and with a password
		s, _ := startServer(t, Options{})
		u := testUsers()[user]
		phone := loggedIn(t, s, u.ID)
		desk := connect(t, s, clientOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		a, err := desk.QR().Auth(ctx, qrlogin.LoggedIn(desk.tokens), func(ctx context.Context, token qrlogin.Token) error {
			_, err := qrlogin.NewQR(phone.api, 17, hashOfApp, qrlogin.Options{}).Accept(ctx, token)
			return err
		})
		if u.Password != "" {
			wantError(t, err, 401, "SESSION_PASSWORD_NEEDED")
			if a, err = desk.Auth().Password(ctx, u.Password); err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		cancel()
		if a.User.GetID() != u.ID {
			t.Fatalf("logged in as %d", a.User.GetID())
		}
		list, err := phone.api.AccountGetAuthorizations(ctxOf(t))
		if err != nil || len(list.Authorizations) != 2 {
			t.Fatalf("authorizations %v, %v", list, err)
		}
		for _, one := range list.Authorizations {
			if !one.Current {
				if _, err := phone.api.AccountResetAuthorization(ctxOf(t), one.Hash); err != nil {
					t.Fatal(err)
				}
			}
		}
		_, err = phone.api.AccountResetAuthorization(ctxOf(t), 5)
		wantError(t, err, 400, "HASH_INVALID")
		_, err = phone.api.AuthAcceptLoginToken(ctxOf(t), []byte("nonsense"))
		wantError(t, err, 400, "AUTH_TOKEN_INVALID")
	}
}

func TestBotLogin(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := connect(t, s, clientOptions{})
	_, err := c.Auth().Bot(ctxOf(t), "1005:wrong")
	wantError(t, err, 400, "ACCESS_TOKEN_INVALID")
	if _, err := c.Auth().Bot(ctxOf(t), "1005:token"); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeepsLogin(t *testing.T) {
	file := t.TempDir() + "/keys/auth.json"
	storage := new(session.StorageMemory)
	s, stop := startServer(t, Options{AuthKeys: FileKeys(file)})
	c := connect(t, s, clientOptions{storage: storage})
	c.login(testUsers()[0])
	bobsHash := c.user("bob_b").AccessHash
	state, err := c.api.UpdatesGetState(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	stop()

	s, _ = startServer(t, Options{AuthKeys: FileKeys(file)})
	c = connect(t, s, clientOptions{storage: storage})
	self, err := c.Self(ctxOf(t))
	if err != nil || self.ID != alice {
		t.Fatalf("after the restart: %v, %v", self, err)
	}
	if c.user("bob_b").AccessHash != bobsHash {
		t.Fatal("access hashes changed over the restart")
	}
	diff, err := c.api.UpdatesGetDifference(ctxOf(t), &tg.UpdatesGetDifferenceRequest{Pts: state.Pts, Date: state.Date, Qts: state.Qts})
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := diff.(*tg.UpdatesDifference); ok && d.State.Pts < state.Pts {
		t.Fatalf("pts went back from %d to %d", state.Pts, d.State.Pts)
	}
}

func TestKeysOfForeignServerAreRefused(t *testing.T) {
	storage := new(session.StorageMemory)
	s, stop := startServer(t, Options{})
	c := connect(t, s, clientOptions{storage: storage})
	c.login(testUsers()[0])
	c.stop()
	stop()
	s, _ = startServer(t, Options{}) // has forgotten the key: answers -404, the client makes a new one
	c = connect(t, s, clientOptions{storage: storage})
	status, err := c.Auth().Status(ctxOf(t))
	if err != nil || status.Authorized {
		t.Fatalf("status %v, %v", status, err)
	}
}

func TestRevoke(t *testing.T) {
	s, _ := startServer(t, Options{})
	c := loggedIn(t, s, alice)
	if n := s.Control().Online(alice); n != 1 {
		t.Fatalf("%d online", n)
	}
	if n := s.Control().RevokeSessions(alice); n != 1 {
		t.Fatalf("%d revoked", n)
	}
	var rpc *tgerr.Error
	for ctx := ctxOf(t); ; { // the first tries meet the cut connection
		_, err := c.api.UpdatesGetState(ctx)
		if errors.As(err, &rpc) || ctx.Err() != nil {
			wantError(t, err, 401, "AUTH_KEY_UNREGISTERED")
			return
		}
	}
}
