package mtserver

import (
	"crypto/aes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/gotd/ige"
	"github.com/gotd/td/bin"
	"github.com/gotd/td/crypto"
	"github.com/gotd/td/mt"
)

// Key is an authorization key. It does not change.
type Key struct {
	crypto.AuthKey
	Salt    int64     // the first salt, agreed in the handshake
	Created time.Time // the first salt is good for saltLife from here
	Expires time.Time // zero: a permanent key
}

// Temporary says whether the key must be bound to a permanent one before it is good for anything.
func (k *Key) Temporary() bool { return !k.Expires.IsZero() }

// Server salts change every half hour and are good for an hour, https://core.telegram.org/mtproto/description#server-salt.
const (
	saltStep = 30 * time.Minute
	saltLife = time.Hour
)

// salt of a period of saltStep. Derived from the key, so that it is the same after a restart.
func (k *Key) salt(period int64) int64 {
	h := sha256.New()
	h.Write([]byte("server salt"))
	h.Write(k.Value[:])
	_ = binary.Write(h, binary.BigEndian, period)
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)))
}

func period(t time.Time) int64 { return t.Unix() / int64(saltStep/time.Second) }

// currentSalt is what clients should use now.
func (k *Key) currentSalt(now time.Time) int64 {
	if now.Sub(k.Created) < saltLife/2 {
		return k.Salt
	}
	return k.salt(period(now))
}

func (k *Key) goodSalt(salt int64, now time.Time) bool {
	p := period(now)
	return salt == k.salt(p) || salt == k.salt(p-1) || salt == k.Salt && now.Sub(k.Created) < saltLife
}

func (k *Key) futureSalts(n int, now time.Time) []mt.FutureSalt {
	all := make([]mt.FutureSalt, 0, n)
	for p := period(now); len(all) < n; p++ {
		since := p * int64(saltStep/time.Second)
		all = append(all, mt.FutureSalt{ValidSince: int(since), ValidUntil: int(since + int64(saltLife/time.Second)), Salt: k.salt(p)})
	}
	return all
}

// quickAck is the token of a packet: the first 32 bits of SHA256 over a part of the key and the clear packet.
func (k *Key) quickAck(clear *crypto.EncryptedMessageData) uint32 {
	var b bin.Buffer
	_ = clear.Encode(&b) // writes to memory only
	h := sha256.New()
	h.Write(k.Value[88:120])
	h.Write(b.Buf)
	return binary.LittleEndian.Uint32(h.Sum(nil))
}

var errBinding = errors.New("binding message is invalid")

// OpenBinding opens the encrypted_message of auth.bindTempAuthKey, which is encrypted with the permanent key in the manner
// of MTProto 1.0 (https://core.telegram.org/method/auth.bindTempAuthKey). It gives the message and the msg_id it claims.
func OpenBinding(perm crypto.AuthKey, sealed []byte) (crypto.BindAuthKeyInner, int64, error) {
	var inner crypto.BindAuthKeyInner
	var m crypto.EncryptedMessage
	if err := m.Decode(&bin.Buffer{Buf: sealed}); err != nil {
		return inner, 0, fmt.Errorf("%w: %w", errBinding, err)
	}
	if m.AuthKeyID != perm.ID || len(m.EncryptedData) == 0 || len(m.EncryptedData)%aes.BlockSize != 0 {
		return inner, 0, errBinding
	}
	key, iv := crypto.KeysV1(perm.Value, m.MsgKey)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return inner, 0, fmt.Errorf("%w: %w", errBinding, err)
	}
	clear := make([]byte, len(m.EncryptedData))
	ige.DecryptBlocks(block, iv[:], clear, m.EncryptedData)
	const head = 16 + 8 + 4 + 4 // random, msg_id, seq_no, length
	if len(clear) < head {
		return inner, 0, errBinding
	}
	size := int(int32(binary.LittleEndian.Uint32(clear[28:])))
	if size < 0 || size > len(clear)-head || crypto.MessageKeyV1(clear[:head+size]) != m.MsgKey {
		return inner, 0, errBinding
	}
	if err := inner.Decode(&bin.Buffer{Buf: clear[head : head+size]}); err != nil {
		return inner, 0, fmt.Errorf("%w: %w", errBinding, err)
	}
	return inner, int64(binary.LittleEndian.Uint64(clear[16:])), nil
}
