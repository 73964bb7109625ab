package cloud

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/gotd/td/crypto"
	"github.com/gotd/td/session"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// LogIn makes a login of a user without any exchange, for clients of gotd's: the session goes into its storage. Tests and
// talking phones save the seconds that a key exchange takes on gotd's side.
func (c *Control) LogIn(user int64, into session.Storage) error {
	var value crypto.Key
	if _, err := rand.Read(value[:]); err != nil {
		return fmt.Errorf("generate auth key: %w", err)
	}
	key := &mtserver.Key{AuthKey: value.WithID(), Created: time.Now()}
	data, err := c.provision(user, key)
	if err != nil {
		return fmt.Errorf("log in user %d: %w", user, err)
	}
	loader := session.Loader{Storage: into}
	if err := loader.Save(context.Background(), data); err != nil {
		return fmt.Errorf("log in user %d: %w", user, err)
	}
	return nil
}

func (c *Control) provision(user int64, key *mtserver.Key) (*session.Data, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	a := c.s.accounts[user]
	if a == nil {
		return nil, fmt.Errorf("no such user")
	}
	if err := c.s.keys.add(key); err != nil {
		return nil, err
	}
	c.s.login(c.s.keys.device(key), a)
	addr := c.s.Addr()
	config := session.Config{ThisDC: c.s.opts.DC, DCOptions: dcOptions(addr.AddrPort())}
	return &session.Data{
		Config: config, DC: c.s.opts.DC, Addr: addr.String(), AuthKey: key.Value[:], AuthKeyID: key.ID[:], Salt: key.Salt,
	}, nil
}
