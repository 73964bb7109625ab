package calls

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1" // the key fingerprint is defined with SHA-1
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"sync"

	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

const (
	groupBytes = 256  // of prime, exponents, public values and key
	marginBits = 1984 // public values v and p-v have at least so many bits (Telegram Desktop, mtproto_dh_utils.cpp)
)

// wellKnownPrime is the prime that Telegram has used since 2013; it was tested once and for all
// (core.telegram.org/mtproto/security_guidelines; the same in every official app).
const wellKnownPrime = "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f" +
	"48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c37" +
	"20fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64" +
	"2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4" +
	"a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754" +
	"fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4" +
	"e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f" +
	"0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b"

// group is a Diffie-Hellman group that has passed checkGroup.
type group struct {
	version int
	g       *big.Int
	p       *big.Int
}

// groups fetches the group from Telegram and remembers it with its version, so that later calls ask for fresh server
// randomness only and each prime is tested once.
type groups struct {
	mu   sync.Mutex
	last *group
}

// get returns the current group and 256 bytes of Telegram's randomness (or fewer, if it sent fewer).
func (s *groups) get(ctx context.Context, api API) (*group, []byte, error) {
	s.mu.Lock()
	known := s.last
	s.mu.Unlock()
	request := &tg.MessagesGetDhConfigRequest{RandomLength: groupBytes}
	if known != nil {
		request.Version = known.version
	}
	answer, err := api.MessagesGetDhConfig(ctx, request)
	if err != nil {
		return nil, nil, fmt.Errorf("get diffie-hellman group: %w", err)
	}
	switch a := answer.(type) {
	case *tg.MessagesDhConfigNotModified:
		if known == nil {
			return nil, nil, insecure("telegram sent no diffie-hellman group")
		}
		return known, a.Random, nil
	case *tg.MessagesDhConfig:
		g := &group{version: a.Version, g: big.NewInt(int64(a.G)), p: new(big.Int).SetBytes(a.P)}
		if known == nil || known.g.Cmp(g.g) != 0 || known.p.Cmp(g.p) != 0 {
			if err := checkGroup(a.G, g.p); err != nil {
				return nil, nil, err
			}
		}
		s.mu.Lock()
		s.last = g
		s.mu.Unlock()
		return g, a.Random, nil
	}
	return nil, nil, insecure(fmt.Sprintf("unexpected diffie-hellman group %T", answer))
}

func insecure(why string) *Error { return &Error{Kind: Insecure, Err: errors.New(why)} }

// checkGroup refuses a group that would make the key guessable: p must be a safe 2048 bit prime and g must generate
// the subgroup of order (p-1)/2 (core.telegram.org/mtproto/auth_key, "checks").
func checkGroup(g int, p *big.Int) error {
	if p.BitLen() != groupBytes*8 {
		return insecure(fmt.Sprintf("prime has %d bits", p.BitLen()))
	}
	if !generates(g, p) {
		return insecure(fmt.Sprintf("%d is no generator for the prime", g))
	}
	if hex.EncodeToString(p.Bytes()) == wellKnownPrime {
		return nil
	}
	half := new(big.Int).Rsh(p, 1)
	if !p.ProbablyPrime(30) || !half.ProbablyPrime(30) {
		return insecure("prime is not a safe prime")
	}
	return nil
}

func generates(g int, p *big.Int) bool {
	residue := func(m int64) int64 { return new(big.Int).Mod(p, big.NewInt(m)).Int64() }
	switch g {
	case 2:
		return residue(8) == 7
	case 3:
		return residue(3) == 2
	case 4:
		return true
	case 5:
		return residue(5) == 1 || residue(5) == 4
	case 6:
		return residue(24) == 19 || residue(24) == 23
	case 7:
		return residue(7) == 3 || residue(7) == 5 || residue(7) == 6
	}
	return false
}

// checkPublic refuses a public value, ours or the peer's, that gives the key away.
func (d *group) checkPublic(v *big.Int) error {
	other := new(big.Int).Sub(d.p, v)
	if other.Sign() <= 0 || v.BitLen() < marginBits || other.BitLen() < marginBits {
		return insecure("public value is out of range")
	}
	return nil
}

// secret is our half of an exchange.
type secret struct {
	group    *group
	exponent *big.Int
	public   []byte // g^exponent mod p, 256 bytes
}

// newSecret makes an exponent of our own randomness and Telegram's, so that neither alone decides it.
func newSecret(d *group, serverRandom []byte) (*secret, error) {
	for range 8 {
		var raw [groupBytes]byte
		if _, err := io.ReadFull(rand.Reader, raw[:]); err != nil {
			return nil, fmt.Errorf("read randomness: %w", err)
		}
		for i := range min(len(raw), len(serverRandom)) {
			raw[i] ^= serverRandom[i]
		}
		s := &secret{group: d, exponent: new(big.Int).SetBytes(raw[:])}
		v := new(big.Int).Exp(d.g, s.exponent, d.p)
		if d.checkPublic(v) == nil {
			s.public = v.FillBytes(make([]byte, groupBytes))
			return s, nil
		}
	}
	return nil, insecure("no usable exponent found")
}

// hash is the commitment the caller sends before it knows the callee's value (g_a_hash).
func (s *secret) hash() []byte {
	h := sha256.Sum256(s.public)
	return h[:]
}

// key returns the call's key and its fingerprint for the peer's public value.
func (s *secret) key(peer []byte) (*voip.Key, int64, error) {
	if len(peer) > groupBytes {
		return nil, 0, insecure("public value is too long")
	}
	v := new(big.Int).SetBytes(peer)
	if err := s.group.checkPublic(v); err != nil {
		return nil, 0, err
	}
	key := new(voip.Key)
	new(big.Int).Exp(v, s.exponent, s.group.p).FillBytes(key[:])
	return key, fingerprint(key), nil
}

// fingerprint is the last 8 bytes of SHA-1 over the key, little endian.
func fingerprint(key *voip.Key) int64 {
	h := sha1.Sum(key[:])
	return int64(binary.LittleEndian.Uint64(h[len(h)-8:]))
}

// keeps says whether the caller's value fits the commitment it made before. The hash is over the padded value, or over
// the value as it was sent: the official client library sends it without leading zeros, once in 256 calls, and hashes
// just that (seen with TDLib 1.8.67).
func keeps(commitment, public []byte) bool {
	if len(public) > groupBytes {
		return false
	}
	var padded [groupBytes]byte
	copy(padded[groupBytes-len(public):], public)
	whole, bare := sha256.Sum256(padded[:]), sha256.Sum256(public)
	return bytes.Equal(commitment, whole[:]) || bytes.Equal(commitment, bare[:])
}
