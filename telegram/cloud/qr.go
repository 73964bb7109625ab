package cloud

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

const tokenLife = 30 * time.Second

// loginToken is the content of a QR code, https://core.telegram.org/api/qr-login. Guarded by Server.mu.
type loginToken struct {
	dev      *device // that shows it
	token    []byte
	expires  time.Time
	accepted *account // nil: nobody has scanned it
}

func addQR(m methods) {
	onOpen(m, (*request).exportLoginToken)
	onOpen(m, (*request).importLoginToken)
	on(m, (*request).acceptLoginToken)
}

func (r *request) exportLoginToken(q *tg.AuthExportLoginTokenRequest) (bin.Encoder, error) {
	if err := r.checkApp(q.APIID, q.APIHash); err != nil {
		return nil, err
	}
	if t := r.dev.token; t != nil && t.accepted != nil {
		return r.useToken(t)
	}
	token := make([]byte, 32)
	if _, err := rand.Read(token); err != nil {
		return nil, fmt.Errorf("generate token: %w", err)
	}
	for k, t := range r.tokens {
		if t.dev == r.dev || r.now().After(t.expires.Add(time.Minute)) {
			delete(r.tokens, k)
		}
	}
	t := &loginToken{dev: r.dev, token: token, expires: r.now().Add(tokenLife)}
	r.tokens[string(token)], r.dev.token = t, t
	return &tg.AuthLoginToken{Expires: int(t.expires.Unix()), Token: token}, nil
}

// useToken logs in whoever accepted the token.
func (r *request) useToken(t *loginToken) (bin.Encoder, error) {
	delete(r.tokens, string(t.token))
	r.dev.token = nil
	if t.accepted.password != nil {
		return r.enter(t.accepted)
	}
	return &tg.AuthLoginTokenSuccess{Authorization: r.admitted(t.accepted)}, nil
}

// findToken also says why a token is no good.
func (r *request) findToken(token []byte) (*loginToken, error) {
	t := r.tokens[string(token)]
	switch {
	case t == nil:
		return nil, fail(400, "AUTH_TOKEN_INVALID")
	case t.accepted == nil && r.now().After(t.expires):
		return nil, fail(400, "AUTH_TOKEN_EXPIRED")
	}
	return t, nil
}

func (r *request) importLoginToken(q *tg.AuthImportLoginTokenRequest) (bin.Encoder, error) {
	t, err := r.findToken(q.Token)
	if err != nil {
		return nil, err
	}
	if t.accepted == nil {
		return &tg.AuthLoginToken{Expires: int(t.expires.Unix()), Token: t.token}, nil
	}
	return r.useToken(t)
}

func (r *request) acceptLoginToken(q *tg.AuthAcceptLoginTokenRequest) (bin.Encoder, error) {
	t, err := r.findToken(q.Token)
	if err != nil {
		return nil, err
	}
	if t.accepted != nil {
		return nil, fail(400, "AUTH_TOKEN_ALREADY_ACCEPTED")
	}
	t.accepted = r.me
	if t.dev.last != nil {
		r.tell(t.dev.last, &tg.UpdateShort{Update: &tg.UpdateLoginToken{}, Date: int(r.now().Unix())})
	}
	return r.authorization(t.dev), nil
}

// authorization describes a device.
func (r *request) authorization(d *device) *tg.Authorization {
	app := d.app()
	a := &tg.Authorization{
		Current: d == r.dev, DeviceModel: app.Device, SystemVersion: app.System, APIID: app.APIID, AppName: "app", AppVersion: app.Version,
		DateActive: int(d.active.Unix()), DateCreated: int(r.now().Unix()), IP: "127.0.0.1", Country: "Unknown",
	}
	if d.rec.Login != nil {
		a.DateCreated = int(d.rec.Login.Date.Unix())
		a.CallRequestsDisabled = d.rec.Login.NoCalls
		if d != r.dev {
			a.Hash = d.rec.Login.Hash
		}
	}
	return a
}
