package calls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

func prime(t testing.TB) *big.Int {
	t.Helper()
	p, ok := new(big.Int).SetString(wellKnownPrime, 16)
	if !ok {
		t.Fatal("bad prime")
	}
	return p
}

func insecureErr(t testing.TB, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != Insecure {
		t.Errorf("error %v, want one of kind %q", err, Insecure)
	}
}

// The key, the fingerprint and the hash were computed by a program of its own from the rules of the protocol.
func TestKnownAnswers(t *testing.T) {
	key := new(voip.Key)
	public := make([]byte, groupBytes)
	for i := range groupBytes {
		key[i] = byte(7*i + 3)
		public[i] = byte(255 - i)
	}
	if got := fingerprint(key); got != 3587517436832175774 {
		t.Errorf("fingerprint %d", got)
	}
	want, _ := hex.DecodeString("cd6816b77f68d70001fc3eaa4d42bdd67cb5973b3151cc5292ecc02a3daac6ab")
	if got := (&secret{public: public}).hash(); !bytes.Equal(got, want) {
		t.Errorf("hash of the public value %x", got)
	}
	if !keeps(want, public) {
		t.Error("public value does not fit its hash")
	}
	public[255] ^= 1
	if keeps(want, public) || keeps(nil, public) || keeps(want, make([]byte, groupBytes+1)) {
		t.Error("a wrong public value fits the hash")
	}
	// A value that begins with zeros may come without them; the hash is over all 256 bytes.
	short := make([]byte, groupBytes)
	copy(short[2:], public[2:])
	if !keeps((&secret{public: short}).hash(), short[2:]) {
		t.Error("a value without its leading zeros does not fit the hash")
	}
	bare := sha256.Sum256(short[2:])
	if !keeps(bare[:], short[2:]) {
		t.Error("a commitment over the value without leading zeros is refused")
	}
}

func TestWellKnownPrimeIsSafe(t *testing.T) {
	p := prime(t)
	if p.BitLen() != 2048 || !p.ProbablyPrime(20) || !new(big.Int).Rsh(p, 1).ProbablyPrime(20) {
		t.Fatal("the prime on the list is no safe prime")
	}
	for g, ok := range map[int]bool{0: false, 1: false, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: false, -3: false} {
		want := ok
		if ok { // the rule of quadratic reciprocity must agree with Euler's criterion
			half := new(big.Int).Rsh(p, 1)
			want = new(big.Int).Exp(big.NewInt(int64(g)), half, p).Cmp(big.NewInt(1)) == 0
		}
		if err := checkGroup(g, p); (err == nil) != want {
			t.Errorf("generator %d: %v, want accepted: %v", g, err, want)
		}
	}
}

func TestBadGroups(t *testing.T) {
	p := prime(t)
	for name, bad := range map[string]*big.Int{
		"not prime":   new(big.Int).Add(p, big.NewInt(24)), // keeps the residues that the generator is judged by
		"too short":   new(big.Int).Rsh(p, 1),
		"too long":    new(big.Int).Lsh(p, 1),
		"zero":        new(big.Int),
		"no residue":  new(big.Int).Add(p, big.NewInt(1)),
		"even, 2048b": new(big.Int).SetBit(new(big.Int), 2047, 1),
	} {
		err := checkGroup(3, bad)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		insecureErr(t, err)
	}
}

func TestPublicValues(t *testing.T) {
	p := prime(t)
	d := &group{p: p, g: big.NewInt(3)}
	edge := new(big.Int).SetBit(new(big.Int), marginBits-1, 1) // the smallest that is long enough
	one := big.NewInt(1)
	for name, c := range map[string]struct {
		v  *big.Int
		ok bool
	}{
		"zero": {new(big.Int), false}, "one": {one, false}, "p-1": {new(big.Int).Sub(p, one), false}, "p": {p, false},
		"p+5":             {new(big.Int).Add(p, big.NewInt(5)), false},
		"small":           {new(big.Int).Sub(edge, one), false},
		"edge":            {edge, true},
		"near p":          {new(big.Int).Add(new(big.Int).Sub(p, edge), one), false},
		"just far enough": {new(big.Int).Sub(p, edge), true},
		"middle":          {new(big.Int).Rsh(p, 1), true},
	} {
		if err := d.checkPublic(c.v); (err == nil) != c.ok {
			t.Errorf("%s: %v, want accepted: %v", name, err, c.ok)
		}
	}
	s, err := newSecret(d, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, {1}, make([]byte, groupBytes), p.Bytes(), make([]byte, groupBytes+1)} {
		_, _, err := s.key(bad)
		insecureErr(t, err)
	}
}

func TestBothSidesGetTheSameKey(t *testing.T) {
	d := &group{p: prime(t), g: big.NewInt(3)}
	a, err := newSecret(d, bytes.Repeat([]byte{0x55}, groupBytes))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newSecret(d, []byte("short randomness"))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.public) != groupBytes || a.exponent.BitLen() < 1900 {
		t.Errorf("public value of %d bytes, exponent of %d bits", len(a.public), a.exponent.BitLen())
	}
	ka, fa, errA := a.key(b.public)
	kb, fb, errB := b.key(bytes.TrimLeft(a.public, "\x00"))
	if errA != nil || errB != nil || *ka != *kb || fa != fb {
		t.Errorf("keys differ: %v %v", errA, errB)
	}
}

// dhServer answers messages.getDhConfig.
type dhServer struct {
	API
	answer func(*tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error)
}

func (s dhServer) MessagesGetDhConfig(_ context.Context, r *tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error) {
	return s.answer(r)
}

func TestGroupIsFetchedOnceAndKept(t *testing.T) {
	p := prime(t).Bytes()
	var asked []int
	api := dhServer{answer: func(r *tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error) {
		asked = append(asked, r.Version)
		if r.RandomLength != groupBytes {
			t.Errorf("asked for %d random bytes", r.RandomLength)
		}
		if r.Version == 7 {
			return &tg.MessagesDhConfigNotModified{Random: []byte("fresh")}, nil
		}
		return &tg.MessagesDhConfig{G: 3, P: p, Version: 7, Random: []byte("first")}, nil
	}}
	var s groups
	for i, want := range []string{"first", "fresh", "fresh"} {
		g, random, err := s.get(t.Context(), api)
		if err != nil || string(random) != want || g.version != 7 {
			t.Fatalf("request %d: %q, %v", i, random, err)
		}
	}
	if len(asked) != 3 || asked[0] != 0 || asked[1] != 7 || asked[2] != 7 {
		t.Errorf("asked with versions %v", asked)
	}
}

func TestBadGroupAnswers(t *testing.T) {
	answers := map[string]tg.MessagesDhConfigClass{
		"not modified, but nothing is known": &tg.MessagesDhConfigNotModified{},
		"bad generator":                      &tg.MessagesDhConfig{G: 1, P: prime(t).Bytes()},
		"no prime":                           &tg.MessagesDhConfig{G: 3},
	}
	for name, a := range answers {
		var s groups
		_, _, err := s.get(t.Context(), dhServer{answer: func(*tg.MessagesGetDhConfigRequest) (tg.MessagesDhConfigClass, error) {
			return a, nil
		}})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		insecureErr(t, err)
	}
}
