package mtserver

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/mt"
	"github.com/gotd/td/proto/codec"
)

// DHPrime is the safe prime that Telegram itself has given out for years; clients carry it in a list of good primes, so
// that they need not test it. With it goes the generator DHGenerator.
const (
	DHPrime = "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37" +
		"20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4" +
		"a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4" +
		"e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b"
	DHGenerator = 3
)

// codeError is a transport error: a bare negative number to the client, after which the connection is closed.
type codeError struct {
	code int32
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// handshake is the server's side of a key exchange (https://core.telegram.org/mtproto/auth_key), one a connection. It is a
// state machine without I/O: official clients start it as a mere connection check and then use a key they have.
type handshake struct {
	rsa   *rsa.PrivateKey
	prime *big.Int
	dc    func(dc int) bool

	nonce, serverNonce bin.Int128
	newNonce           bin.Int256
	pq                 *big.Int
	a                  *big.Int // our DH secret; nil until req_DH_params was answered
	expires            time.Duration
	key, iv            []byte
}

func newHandshake(key *rsa.PrivateKey, dc func(int) bool) (*handshake, error) {
	text, err := hex.DecodeString(DHPrime)
	if err != nil {
		return nil, fmt.Errorf("decode prime: %w", err)
	}
	return &handshake{rsa: key, prime: new(big.Int).SetBytes(text), dc: dc}, nil
}

// step takes a clear message and gives the answer, with the key when it was the last.
func (h *handshake) step(body []byte) (bin.Encoder, *Key, error) {
	b := &bin.Buffer{Buf: body}
	id, err := b.PeekID()
	if err != nil {
		return nil, nil, fmt.Errorf("read handshake: %w", err)
	}
	switch id {
	case mt.ReqPqRequestTypeID:
		var req mt.ReqPqRequest
		if err := req.Decode(b); err != nil {
			return nil, nil, err
		}
		answer, err := h.resPQ(req.Nonce)
		return answer, nil, err
	case mt.ReqPqMultiRequestTypeID:
		var req mt.ReqPqMultiRequest
		if err := req.Decode(b); err != nil {
			return nil, nil, err
		}
		answer, err := h.resPQ(req.Nonce)
		return answer, nil, err
	case mt.ReqDHParamsRequestTypeID:
		var req mt.ReqDHParamsRequest
		if err := req.Decode(b); err != nil {
			return nil, nil, err
		}
		answer, err := h.dhParams(&req)
		return answer, nil, err
	case mt.SetClientDHParamsRequestTypeID:
		var req mt.SetClientDHParamsRequest
		if err := req.Decode(b); err != nil {
			return nil, nil, err
		}
		return h.finish(&req)
	case mt.MsgsAckTypeID: // some clients acknowledge in the clear
		return nil, nil, nil
	}
	return nil, nil, fmt.Errorf("accept handshake message %#x: %w", id, errFrame)
}

func (h *handshake) resPQ(nonce bin.Int128) (bin.Encoder, error) {
	p, err := rand.Prime(rand.Reader, 31)
	if err != nil {
		return nil, fmt.Errorf("generate pq: %w", err)
	}
	q := p
	for q.Cmp(p) == 0 {
		if q, err = rand.Prime(rand.Reader, 30); err != nil {
			return nil, fmt.Errorf("generate pq: %w", err)
		}
	}
	if _, err := rand.Read(h.serverNonce[:]); err != nil {
		return nil, fmt.Errorf("generate nonce: %w", err)
	}
	h.nonce, h.pq, h.a = nonce, new(big.Int).Mul(p, q), nil
	return &mt.ResPQ{
		Nonce: nonce, ServerNonce: h.serverNonce, Pq: h.pq.Bytes(),
		ServerPublicKeyFingerprints: []int64{crypto.RSAFingerprint(&h.rsa.PublicKey)},
	}, nil
}

var errHandshake = errors.New("handshake is refused")

func (h *handshake) dhParams(req *mt.ReqDHParamsRequest) (bin.Encoder, error) {
	if h.pq == nil || req.Nonce != h.nonce || req.ServerNonce != h.serverNonce {
		return nil, fmt.Errorf("%w: nonce", errHandshake)
	}
	clear, err := crypto.DecodeRSAPad(req.EncryptedData, h.rsa)
	if err != nil {
		return nil, &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("open p_q_inner_data: %w", err)}
	}
	inner, err := mt.DecodePQInnerData(&bin.Buffer{Buf: clear})
	if err != nil {
		return nil, &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("read p_q_inner_data: %w", err)}
	}
	if err := h.accept(inner); err != nil {
		return nil, err
	}
	ga, err := h.secret()
	if err != nil {
		return nil, err
	}
	var data bin.Buffer
	if err := data.Encode(&mt.ServerDHInnerData{
		Nonce: h.nonce, ServerNonce: h.serverNonce, G: DHGenerator, DhPrime: h.prime.Bytes(), GA: ga.Bytes(), ServerTime: int(time.Now().Unix()),
	}); err != nil {
		return nil, err
	}
	h.key, h.iv = crypto.TempAESKeys(h.newNonce.BigInt(), h.serverNonce.BigInt())
	answer, err := crypto.EncryptExchangeAnswer(rand.Reader, data.Buf, h.key, h.iv)
	if err != nil {
		return nil, fmt.Errorf("seal server_DH_inner_data: %w", err)
	}
	return &mt.ServerDHParamsOk{Nonce: h.nonce, ServerNonce: h.serverNonce, EncryptedAnswer: answer}, nil
}

// accept checks what the client sent and keeps what the key is made of.
func (h *handshake) accept(inner mt.PQInnerDataClass) error {
	dc, expires := 0, 0
	switch d := inner.(type) {
	case *mt.PQInnerDataDC:
		dc = d.DC
	case *mt.PQInnerDataTempDC:
		dc, expires = d.DC, d.ExpiresIn
		if expires <= 0 || expires > 31*86400 {
			return &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("%w: temporary key for %d s", errHandshake, expires)}
		}
	}
	if dc != 0 && !h.dc(dc) {
		return &codeError{codec.CodeWrongDC, fmt.Errorf("%w: dc %d", errHandshake, dc)}
	}
	product := new(big.Int).Mul(new(big.Int).SetBytes(inner.GetP()), new(big.Int).SetBytes(inner.GetQ()))
	if inner.GetNonce() != h.nonce || inner.GetServerNonce() != h.serverNonce || product.Cmp(h.pq) != 0 {
		return &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("%w: p_q_inner_data", errHandshake)}
	}
	h.newNonce, h.expires = inner.GetNewNonce(), time.Duration(expires)*time.Second
	return nil
}

func (h *handshake) secret() (*big.Int, error) {
	for {
		a, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 2048))
		if err != nil {
			return nil, fmt.Errorf("generate secret: %w", err)
		}
		ga := new(big.Int).Exp(big.NewInt(DHGenerator), a, h.prime)
		if PublicValue(ga, h.prime) {
			h.a = a
			return ga, nil
		}
	}
}

// PublicValue says whether v may be a public value of a key exchange modulo p: 2^1984 <= v <= p - 2^1984,
// https://core.telegram.org/mtproto/auth_key.
func PublicValue(v, p *big.Int) bool {
	edge := new(big.Int).Lsh(big.NewInt(1), 2048-64)
	return v.Cmp(edge) >= 0 && v.Cmp(new(big.Int).Sub(p, edge)) <= 0
}

func (h *handshake) finish(req *mt.SetClientDHParamsRequest) (bin.Encoder, *Key, error) {
	if h.a == nil || req.Nonce != h.nonce || req.ServerNonce != h.serverNonce {
		return nil, nil, fmt.Errorf("%w: nonce", errHandshake)
	}
	refuse := func(what string, err error) error {
		return &codeError{codec.CodeAuthKeyNotFound, fmt.Errorf("%w: %s: %w", errHandshake, what, err)}
	}
	clear, err := crypto.DecryptExchangeAnswer(req.EncryptedData, h.key, h.iv)
	if err != nil {
		return nil, nil, refuse("open client_DH_inner_data", err)
	}
	var inner mt.ClientDHInnerData
	if err := inner.Decode(&bin.Buffer{Buf: clear}); err != nil {
		return nil, nil, refuse("read client_DH_inner_data", err)
	}
	gb := new(big.Int).SetBytes(inner.GB)
	if inner.Nonce != h.nonce || inner.ServerNonce != h.serverNonce || !PublicValue(gb, h.prime) {
		return nil, nil, refuse("client_DH_inner_data", errFrame)
	}
	var value crypto.Key
	new(big.Int).Exp(gb, h.a, h.prime).FillBytes(value[:])
	now := time.Now()
	key := &Key{AuthKey: value.WithID(), Salt: crypto.ServerSalt(h.newNonce, h.serverNonce), Created: now}
	if h.expires > 0 {
		key.Expires = now.Add(h.expires)
	}
	answer := &mt.DhGenOk{Nonce: h.nonce, ServerNonce: h.serverNonce, NewNonceHash1: crypto.NonceHash1(h.newNonce, value)}
	h.pq, h.a = nil, nil
	return answer, key, nil
}
