package telegram

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/tgtrunk/tgtrunk/store"
)

const (
	replyFresh = 10 * time.Minute // a later answer would surprise
	replyLook  = 2 * time.Second  // how often answers that came to other processes are looked for
	replyKeys  = "replies/"
	maxText    = 4096 // UTF-16 code units of a message (messages.sendMessage, MESSAGE_TOO_LONG)
)

// reply is what a person is to be told.
type reply struct {
	To   int64  `json:"to"`
	Text string `json:"text"`
}

// Reply lets the account answer a Message. It only waits for the store: the process that holds the account writes to
// the person as soon as the account is up, within 10 minutes or not at all. Of several replies with one id, which is
// printable ASCII, that wait at the same time the first counts.
func (a *Account) Reply(ctx context.Context, id string, to int64, text string) error {
	text = strings.TrimSpace(text)
	switch n := len(utf16.Encode([]rune(text))); {
	case !a.desk.rules.Forwards():
		return errors.New("reply: the account hands no messages on")
	case n == 0:
		return errors.New("reply: there is no text")
	case n > maxText:
		return fmt.Errorf("reply: %d characters, a message may have %d", n, maxText)
	}
	raw, err := json.Marshal(reply{to, text})
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	_, err = a.keep.store.Put(ctx, a.keep.key(replyKeys+id), raw, store.Put{TTL: replyFresh, Create: true})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("reply: %w", err)
	}
	select {
	case a.desk.replied <- struct{}{}:
	default: // it will be seen
	}
	return nil
}

// sayReplies says what waits to be said, in the order in which it came.
func (d *desk) sayReplies(ctx context.Context, t *turn) {
	var waiting []store.Entry
	keep := d.account.keep
	err := keep.store.Scan(ctx, keep.key(replyKeys), func(e store.Entry) error {
		waiting = append(waiting, e)
		return nil
	})
	slices.SortFunc(waiting, func(a, b store.Entry) int { return cmp.Compare(a.Version, b.Version) })
	for _, e := range waiting {
		if err == nil {
			err = d.sayReply(ctx, t, e)
		}
	}
	if err != nil && ctx.Err() == nil {
		d.account.log.Warn("replies wait", "error", err)
	}
}

// sayReply says one. It is taken away before: it is rather lost than said twice.
func (d *desk) sayReply(ctx context.Context, t *turn, e store.Entry) error {
	lease := d.account.keep.under.Load()
	if lease == nil {
		return ErrLeaseLost
	}
	taken := store.Change{Key: e.Key, Remove: true, How: store.Put{Version: e.Version, Under: lease}}
	if _, err := d.account.keep.store.Update(ctx, []store.Change{taken}); err != nil {
		return err
	}
	var r reply
	if err := json.Unmarshal(e.Value, &r); err != nil {
		d.account.log.Warn("ignored an unreadable reply", "key", maskKeys(e.Key), "error", err)
		return nil
	}
	p, ok := t.peers.get(r.To)
	if !ok {
		d.account.log.Warn("a reply is lost: the account does not know the user", "user", masked(r.To))
		return nil
	}
	d.say(ctx, t, p, r.Text)
	return nil
}
