package cloud

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"math/big"
	mrand "math/rand/v2"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// verifier is what the server knows of a password, https://core.telegram.org/api/srp.
type verifier struct {
	v            *big.Int
	salt1, salt2 []byte
}

// srpChallenge is one g_b given to a client.
type srpChallenge struct {
	id   int64
	user *account
	b    *big.Int
	gb   []byte // 256 bytes
}

func dhPrime() (*big.Int, []byte, error) {
	p, err := hex.DecodeString(mtserver.DHPrime)
	if err != nil {
		return nil, nil, fmt.Errorf("decode prime: %w", err)
	}
	return new(big.Int).SetBytes(p), p, nil
}

func newVerifier(password string) (*verifier, error) {
	p, _, err := dhPrime()
	if err != nil {
		return nil, err
	}
	salts := make([]byte, 8+32+16)
	if _, err := rand.Read(salts); err != nil {
		return nil, fmt.Errorf("generate salts: %w", err)
	}
	salt1, salt2 := salts[:40], salts[40:]
	x, err := passwordHash(password, salt1, salt2)
	if err != nil {
		return nil, err
	}
	return &verifier{v: new(big.Int).Exp(big.NewInt(mtserver.DHGenerator), x, p), salt1: salt1, salt2: salt2}, nil
}

// passwordHash is PH2 of https://core.telegram.org/api/srp. gotd has it too, but tests the prime each time, which takes seconds.
func passwordHash(password string, salt1, salt2 []byte) (*big.Int, error) {
	salted := func(data, salt []byte) []byte { return hashOf(salt, data, salt) }
	first := salted(salted([]byte(password), salt1), salt2)
	slow, err := pbkdf2.Key(sha512.New, string(first), salt1, 100000, 64)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return new(big.Int).SetBytes(salted(slow, salt2)), nil
}

func (v *verifier) algo(p []byte) *tg.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow {
	return &tg.PasswordKdfAlgoSHA256SHA256PBKDF2HMACSHA512iter100000SHA256ModPow{Salt1: v.salt1, Salt2: v.salt2, G: mtserver.DHGenerator, P: p}
}

func hashOf(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

func pad256(n *big.Int) []byte { return n.FillBytes(make([]byte, 256)) }

// challenge makes g_b = k*v + g^b.
func (v *verifier) challenge(user *account) (*srpChallenge, error) {
	p, pBytes, err := dhPrime()
	if err != nil {
		return nil, err
	}
	g := big.NewInt(mtserver.DHGenerator)
	k := new(big.Int).SetBytes(hashOf(pBytes, pad256(g)))
	kv := k.Mod(k.Mul(k, v.v), p)
	for {
		b, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 2048))
		if err != nil {
			return nil, fmt.Errorf("generate secret: %w", err)
		}
		gb := new(big.Int).Exp(g, b, p)
		gb.Mod(gb.Add(gb, kv), p)
		if mtserver.PublicValue(gb, p) {
			return &srpChallenge{id: mrand.Int64(), user: user, b: b, gb: pad256(gb)}, nil
		}
	}
}

// proves says whether a client's A and M1 show that it knows the password.
func (c *srpChallenge) proves(v *verifier, a, m1 []byte) bool {
	p, pBytes, err := dhPrime()
	ga := new(big.Int).SetBytes(a)
	if err != nil || len(a) != 256 || !mtserver.PublicValue(ga, p) {
		return false
	}
	u := new(big.Int).SetBytes(hashOf(a, c.gb))
	secret := new(big.Int).Exp(v.v, u, p)
	secret.Mod(secret.Mul(secret, ga), p)
	key := hashOf(pad256(secret.Exp(secret, c.b, p)))
	hp, hg := hashOf(pBytes), hashOf(pad256(big.NewInt(mtserver.DHGenerator)))
	subtle.XORBytes(hp, hp, hg)
	want := hashOf(hp, hashOf(v.salt1), hashOf(v.salt2), a, c.gb, key)
	return subtle.ConstantTimeCompare(want, m1) == 1
}

func addPassword(m methods) {
	onOpen(m, (*request).getPassword)
	onOpen(m, (*request).checkPassword)
}

// claimed is the account whose password is asked for.
func (r *request) claimed() *account {
	if r.dev.pending != nil {
		return r.dev.pending
	}
	return r.me
}

func (r *request) getPassword(*tg.AccountGetPasswordRequest) (bin.Encoder, error) {
	user := r.claimed()
	if user == nil {
		return nil, fail(401, "AUTH_KEY_UNREGISTERED")
	}
	_, p, err := dhPrime()
	if err != nil {
		return nil, err
	}
	random := make([]byte, 256+24)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("generate random: %w", err)
	}
	fresh := &verifier{salt1: random[256:264], salt2: random[264:]}
	answer := &tg.AccountPassword{
		NewAlgo: fresh.algo(p), NewSecureAlgo: &tg.SecurePasswordKdfAlgoPBKDF2HMACSHA512iter100000{Salt: random[256:264]}, SecureRandom: random[:256],
	}
	if user.password == nil {
		return answer, nil
	}
	c, err := user.password.challenge(user)
	if err != nil {
		return nil, err
	}
	r.dev.srp = c
	answer.HasPassword = true
	answer.SetCurrentAlgo(user.password.algo(p))
	answer.SetSRPB(c.gb)
	answer.SetSRPID(c.id)
	return answer, nil
}

func (r *request) checkPassword(q *tg.AuthCheckPasswordRequest) (bin.Encoder, error) {
	user := r.claimed()
	if user == nil {
		return nil, fail(401, "AUTH_KEY_UNREGISTERED")
	}
	if user.password == nil {
		return nil, fail(400, "PASSWORD_HASH_INVALID")
	}
	in, ok := q.Password.(*tg.InputCheckPasswordSRP)
	if !ok {
		return nil, fail(400, "PASSWORD_HASH_INVALID")
	}
	c := r.dev.srp
	if c == nil || c.id != in.SRPID || c.user != user {
		return nil, fail(400, "SRP_ID_INVALID")
	}
	r.dev.srp = nil // a challenge is good for one try
	if !c.proves(user.password, in.A, in.M1) {
		return nil, fail(400, "PASSWORD_HASH_INVALID")
	}
	return r.admitted(user), nil
}
