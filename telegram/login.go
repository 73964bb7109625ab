package telegram

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// LoginUI asks the person who logs an account in. Every method may wait for the person and ends with ctx.
type LoginUI interface {
	// Phone returns the account's number, E.164; configured is what Options.Phone says. An empty answer asks for a
	// login by QR code.
	Phone(ctx context.Context, configured string) (string, error)
	// Code returns the login code that Telegram has sent.
	Code(ctx context.Context, sent SentCode) (string, error)
	// Password returns the account's second password; hint is what its owner has written to remember it.
	Password(ctx context.Context, hint string) (string, error)
	// ShowQR shows a link as QR code, to be scanned with the app (Settings, Devices, Link Desktop Device). It is called
	// again with a new link when the old one has expired.
	ShowQR(ctx context.Context, link string, expires time.Time) error
	// Notice tells the person something that needs no answer.
	Notice(text string)
}

// SentCode says where a login code was sent.
type SentCode struct {
	Where  string // "app", "sms", "call", "email" or "elsewhere"
	Length int    // digits; 0 where unknown
}

// Errors of Login.
var (
	ErrWrong    = errors.New("too many wrong answers")
	ErrNoSignUp = errors.New("number has no Telegram account")
)

const loginTries = 3

// Login logs the account in and keeps the session in the store. An account that is logged in already stays so. It fails
// with a *store.HeldError while the account's Run, here or in another process, is connected; one that waits for a login
// goes on with the new session.
func (a *Account) Login(ctx context.Context, ui LoginUI) error {
	err := a.whileHeld(ctx, a.owner+", login", func(ctx context.Context, f *fence) error { return a.logIn(ctx, f, ui) })
	if err != nil {
		return fmt.Errorf("log in account %q: %w", a.opts.Name, err)
	}
	select {
	case a.login <- struct{}{}:
	default:
	}
	return nil
}

func (a *Account) logIn(ctx context.Context, f *fence, ui LoginUI) error {
	l := &login{ui: ui, phone: a.opts.Phone, accepted: make(chan struct{}, 1), kept: &witness{keep: a.keep, moved: make(chan struct{}, 1)}}
	o := telegram.Options{
		SessionStorage:    l.kept,
		OnConnectionState: l.kept.connection,
		UpdateHandler:     telegram.UpdateHandlerFunc(l.update),
		Device:            telegram.DeviceConfig{DeviceModel: a.opts.Device.Model, SystemVersion: a.opts.Device.System, AppVersion: a.opts.Device.App},
		Logger:            demoted{a.log},
	}
	a.opts.Server.direct(&o, f)
	client := telegram.NewClient(a.opts.APIID, a.opts.APIHash, o)
	l.client, l.app = client, tg.AuthExportLoginTokenRequest{APIID: a.opts.APIID, APIHash: a.opts.APIHash}
	ctx, connected, stop := f.soon(ctx, a.commandIn)
	defer stop()
	err := client.Run(ctx, func(ctx context.Context) error { connected(); return l.run(ctx) })
	if cause := context.Cause(ctx); cause != nil && (err == nil || errors.Is(cause, errNoConnection)) {
		return cause // Run says nothing of a cancelled context
	}
	return a.opts.Server.explainKey(err)
}

// login is one attempt to log in.
type login struct {
	client   *telegram.Client
	ui       LoginUI
	phone    string
	app      tg.AuthExportLoginTokenRequest
	accepted chan struct{} // holds a token when a QR code has been scanned
	kept     *witness
}

// witness is the session storage of a login. The client stores the key of each connection behind our back, perhaps
// after all questions have been answered.
type witness struct {
	keep
	moved chan struct{} // holds a token when a count has changed

	mu          sync.Mutex
	connections int
	stored      int
}

// StoreSession implements gotd's session.Storage.
func (w *witness) StoreSession(ctx context.Context, data []byte) error {
	if err := w.keep.StoreSession(ctx, data); err != nil {
		return err
	}
	w.count(&w.stored)
	return nil
}

func (w *witness) connection(s telegram.ConnectionState) {
	if s == telegram.ConnectionStateReady {
		w.count(&w.connections)
	}
}

func (w *witness) count(what *int) {
	w.mu.Lock()
	*what++
	w.mu.Unlock()
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

func (w *witness) done() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stored > 0 && w.stored >= w.connections
}

// wait waits until the session of the newest connection has been stored.
func (w *witness) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*storeIn)
	defer cancel()
	for !w.done() {
		select {
		case <-w.moved:
		case <-ctx.Done():
			return fmt.Errorf("store the session: %w", ctx.Err())
		}
	}
	return nil
}

// update hears that the QR code has been scanned.
func (l *login) update(_ context.Context, all tg.UpdatesClass) error {
	var updates []tg.UpdateClass
	switch t := all.(type) {
	case *tg.UpdateShort:
		updates = []tg.UpdateClass{t.Update}
	case *tg.Updates:
		updates = t.Updates
	case *tg.UpdatesCombined:
		updates = t.Updates
	}
	for _, u := range updates {
		if _, ok := u.(*tg.UpdateLoginToken); ok {
			select {
			case l.accepted <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

func (l *login) run(ctx context.Context) error {
	status, err := l.client.Auth().Status(ctx)
	if err != nil {
		return fmt.Errorf("ask who we are: %w", err)
	}
	if status.Authorized {
		if err := l.kept.wait(ctx); err != nil {
			return err
		}
		l.ui.Notice("already logged in as " + describe(status.User))
		return nil
	}
	phone, err := l.ui.Phone(ctx, l.phone)
	if err != nil {
		return fmt.Errorf("ask for the number: %w", err)
	}
	if phone == "" {
		err = l.byQR(ctx)
	} else {
		err = l.byCode(ctx, phone)
	}
	if errors.Is(err, auth.ErrPasswordAuthNeeded) || tgerr.Is(err, "SESSION_PASSWORD_NEEDED") {
		err = l.password(ctx)
	}
	if err != nil {
		return err
	}
	self, err := l.client.Self(ctx)
	if err != nil {
		return fmt.Errorf("ask who we are: %w", err)
	}
	if err := l.kept.wait(ctx); err != nil {
		return err
	}
	l.ui.Notice("logged in as " + describe(self))
	if digits(l.phone) != "" && digits(self.Phone) != digits(l.phone) {
		l.ui.Notice("this is not the number of the configuration, " + bridge.Mask(l.phone))
	}
	return nil
}

func describe(u *tg.User) string {
	name := strings.TrimSpace(u.FirstName + " " + u.LastName)
	if u.Username != "" {
		name += " (@" + u.Username + ")"
	}
	return fmt.Sprintf("%s, user id %d", name, u.ID)
}

func digits(phone string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, phone)
}

// byCode logs in with a code; auth.ErrPasswordAuthNeeded says that the second password is missing.
func (l *login) byCode(ctx context.Context, phone string) error {
	client := l.client.Auth()
	var sent *tg.AuthSentCode
	for range loginTries {
		if sent == nil {
			var err error
			if sent, err = l.sendCode(ctx, client, phone); err != nil || sent == nil {
				return err
			}
		}
		code, err := l.ui.Code(ctx, whereOf(sent))
		if err != nil {
			return fmt.Errorf("ask for the code: %w", err)
		}
		_, err = client.SignIn(ctx, phone, strings.TrimSpace(code), sent.PhoneCodeHash)
		var unknown *auth.SignUpRequired
		switch {
		case tgerr.Is(err, "PHONE_CODE_INVALID", "PHONE_CODE_EMPTY"):
			l.ui.Notice("the code is wrong")
		case tgerr.Is(err, "PHONE_CODE_EXPIRED"):
			l.ui.Notice("the code has expired, a new one is being sent")
			sent = nil
		case errors.As(err, &unknown), tgerr.Is(err, "PHONE_NUMBER_UNOCCUPIED"):
			return ErrNoSignUp
		default:
			return err
		}
	}
	return fmt.Errorf("enter the code: %w", ErrWrong)
}

// sendCode asks Telegram for a code; nil without an error says that none is needed.
func (l *login) sendCode(ctx context.Context, client *auth.Client, phone string) (*tg.AuthSentCode, error) {
	answer, err := client.SendCode(ctx, phone, auth.SendCodeOptions{})
	switch {
	case tgerr.Is(err, "PHONE_NUMBER_UNOCCUPIED"):
		return nil, ErrNoSignUp
	case err != nil:
		return nil, fmt.Errorf("send a code: %w", err)
	}
	switch t := answer.(type) {
	case *tg.AuthSentCode:
		return t, nil
	case *tg.AuthSentCodeSuccess:
		if _, ok := t.Authorization.(*tg.AuthAuthorization); ok {
			return nil, nil
		}
		return nil, ErrNoSignUp
	}
	return nil, fmt.Errorf("send a code: unexpected answer %T", answer)
}

func whereOf(sent *tg.AuthSentCode) SentCode {
	where := SentCode{Where: "elsewhere"}
	if t, ok := sent.Type.(interface{ GetLength() int }); ok {
		where.Length = t.GetLength()
	}
	switch sent.Type.(type) {
	case *tg.AuthSentCodeTypeApp:
		where.Where = "app"
	case *tg.AuthSentCodeTypeSMS, *tg.AuthSentCodeTypeFragmentSMS, *tg.AuthSentCodeTypeFirebaseSMS:
		where.Where = "sms"
	case *tg.AuthSentCodeTypeCall, *tg.AuthSentCodeTypeFlashCall, *tg.AuthSentCodeTypeMissedCall:
		where.Where = "call"
	case *tg.AuthSentCodeTypeEmailCode:
		where.Where = "email"
	}
	return where
}

// password enters the second password. It never leaves this machine: Telegram gets a proof (SRP).
func (l *login) password(ctx context.Context) error {
	for range loginTries {
		state, err := l.client.API().AccountGetPassword(ctx)
		if err != nil {
			return fmt.Errorf("ask about the password: %w", err)
		}
		password, err := l.ui.Password(ctx, state.Hint)
		if err != nil {
			return fmt.Errorf("ask for the password: %w", err)
		}
		_, err = l.client.Auth().Password(ctx, password)
		if !errors.Is(err, auth.ErrPasswordInvalid) {
			return err
		}
		l.ui.Notice("the password is wrong")
	}
	return fmt.Errorf("enter the password: %w", ErrWrong)
}

// byQR logs in with a link that an app of the same account scans (core.telegram.org/api/qr-login).
func (l *login) byQR(ctx context.Context) error {
	for {
		answer, err := l.client.API().AuthExportLoginToken(ctx, &l.app)
		if m, ok := answer.(*tg.AuthLoginTokenMigrateTo); ok && err == nil {
			if err := l.client.MigrateTo(ctx, m.DCID); err != nil {
				return fmt.Errorf("go to the account's data centre: %w", err)
			}
			answer, err = l.client.API().AuthImportLoginToken(ctx, m.Token)
		}
		if err != nil {
			return fmt.Errorf("get a login link: %w", err)
		}
		token, ok := answer.(*tg.AuthLoginToken)
		if !ok {
			return nil // auth.loginTokenSuccess
		}
		expires := time.Unix(int64(token.Expires), 0)
		link := "tg://login?token=" + base64.URLEncoding.EncodeToString(token.Token)
		if err := l.ui.ShowQR(ctx, link, expires); err != nil {
			return fmt.Errorf("show the login link: %w", err)
		}
		if err := l.scanned(ctx, expires); err != nil {
			return err
		}
	}
}

// scanned waits until the link has been scanned or has expired.
func (l *login) scanned(ctx context.Context, expires time.Time) error {
	limit := time.NewTimer(min(max(time.Until(expires), time.Second), time.Minute))
	defer limit.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.accepted:
	case <-limit.C:
	}
	return nil
}
