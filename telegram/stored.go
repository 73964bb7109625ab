package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tgtrunk/tgtrunk/routing"
	"github.com/tgtrunk/tgtrunk/store"
)

// ErrNotStored is the error of StoredPeer for somebody the account has not met.
var ErrNotStored = errors.New("the account has not met this user")

// StoredPeer returns what the store knows of a user of one account, without a connection to Telegram: by user-id,
// username (in any case of letters) or phone number.
func StoredPeer(ctx context.Context, s store.Store, account string, n routing.Number) (Peer, error) {
	k := keep{store: s, name: account}
	var found Peer
	err := s.Scan(ctx, k.key(""), func(e store.Entry) error {
		_, rest, _ := strings.Cut(strings.TrimPrefix(e.Key, k.key("")), "/") // behind the account's own user-id
		if !strings.HasPrefix(rest, "peer/") {
			return nil
		}
		var p Peer
		if err := json.Unmarshal(e.Value, &p); err == nil && p.is(n) {
			found = p
		}
		return nil
	})
	switch {
	case err != nil:
		return Peer{}, fmt.Errorf("look for a stored user: %w", err)
	case found.ID == 0:
		return Peer{}, ErrNotStored
	}
	return found, nil
}

func (p Peer) is(n routing.Number) bool {
	switch n.Kind {
	case routing.UserID:
		return p.ID == n.UserID
	case routing.Username:
		return p.called(n.Username)
	case routing.Phone:
		return p.Phone == n.Phone
	}
	return false
}
