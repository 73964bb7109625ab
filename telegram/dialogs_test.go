package telegram

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
)

// dialogList is an account's dialogues as Telegram pages them: newest first, the place to go on named by the message, its
// date and whom the dialogue is with (messages.getDialogs).
type dialogList struct {
	of    []tg.PeerClass
	peers *peers // which every answer is remembered in, as the middleware does
	asked int
	fails int // the request that fails; 0 for none
}

const (
	channelHash = 77
	firstDate   = 1_700_000_000
)

func (l *dialogList) Invoke(_ context.Context, in bin.Encoder, out bin.Decoder) error {
	q, ok := in.(*tg.MessagesGetDialogsRequest)
	if !ok {
		return fmt.Errorf("%T is not expected", in)
	}
	if l.asked++; l.asked == l.fails {
		return context.DeadlineExceeded
	}
	start := 0
	if q.OffsetDate != 0 {
		last := firstDate - q.OffsetDate
		if last < 0 || last >= len(l.of) || q.OffsetID != 1_000_000-last || !l.names(q.OffsetPeer, l.of[last]) {
			return fmt.Errorf("no dialogue is at %d, %d, %v", q.OffsetDate, q.OffsetID, q.OffsetPeer)
		}
		start = last + 1
	}
	page := &tg.MessagesDialogsSlice{Count: len(l.of)}
	for i := start; i < min(len(l.of), start+q.Limit); i++ {
		peer, top := l.of[i], 1_000_000-i
		page.Dialogs = append(page.Dialogs, &tg.Dialog{Peer: peer, TopMessage: top})
		page.Messages = append(page.Messages, &tg.Message{ID: top, Date: firstDate - i, PeerID: peer})
		switch p := peer.(type) {
		case *tg.PeerUser:
			u := &tg.User{ID: p.UserID}
			u.SetAccessHash(p.UserID)
			page.Users = append(page.Users, u)
		case *tg.PeerChannel:
			c := &tg.Channel{ID: p.ChannelID}
			c.SetAccessHash(channelHash)
			page.Chats = append(page.Chats, c)
		}
	}
	slices.Reverse(page.Messages) // nobody promises their order
	l.peers.remember(page.Users)
	out.(*tg.MessagesDialogsBox).Dialogs = page
	return nil
}

func (l *dialogList) names(in tg.InputPeerClass, want tg.PeerClass) bool {
	switch want := want.(type) {
	case *tg.PeerUser:
		in, ok := in.(*tg.InputPeerUser)
		return ok && *in == tg.InputPeerUser{UserID: want.UserID, AccessHash: want.UserID}
	case *tg.PeerChat:
		in, ok := in.(*tg.InputPeerChat)
		return ok && in.ChatID == want.ChatID
	case *tg.PeerChannel:
		in, ok := in.(*tg.InputPeerChannel)
		return ok && *in == tg.InputPeerChannel{ChannelID: want.ChannelID, AccessHash: channelHash}
	}
	return false
}

// groups are dialogues with nobody to call, of either kind.
func groups(n int) (all []tg.PeerClass) {
	for i := range n {
		if i%2 == 0 {
			all = append(all, &tg.PeerChat{ChatID: int64(i + 1)})
		} else {
			all = append(all, &tg.PeerChannel{ChannelID: int64(i + 1)})
		}
	}
	return all
}

// The first time everybody is found, below whatever number of groups and of people who are known already; after that the
// newest page will do, and a first time that was broken off is begun again.
func TestDialogsBelowGroups(t *testing.T) {
	k, _ := held(t)
	p := newPeers(k, slog.New(slog.DiscardHandler))
	if err := p.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	list := &dialogList{of: groups(2*dialogPage + 1), peers: p, fails: 3}
	list.of = append(list.of, &tg.PeerUser{UserID: 5000})
	for i := range dialogPage {
		list.of = append(list.of, &tg.PeerUser{UserID: int64(6000 + i)})
	}
	p.meet(6001) // has written meanwhile
	s := &session{api: tg.NewClient(list), peers: p, log: slog.New(slog.DiscardHandler)}
	knows := func(id int64) bool {
		got, ok := p.get(id)
		return ok && got.Met && got.AccessHash == id
	}

	s.fetchDialogs(t.Context())
	if list.asked != 3 || knows(5000) {
		t.Fatalf("asked %d times, and the first person is known: %v", list.asked, knows(5000))
	}
	list.fails = 0
	s.fetchDialogs(t.Context())
	for _, id := range []int64{5000, 6000, 6000 + dialogPage - 1} {
		if !knows(id) {
			t.Errorf("%d is unknown after %d requests", id, list.asked)
		}
	}
	if list.asked != 3+5 { // the fifth is empty
		t.Errorf("asked %d times in all", list.asked)
	}
	list.asked = 0
	s.fetchDialogs(t.Context())
	if list.asked != 1 {
		t.Errorf("asked %d times the next time", list.asked)
	}
	// A restart knows them, and what is marked as read is in the store.
	again := newPeers(k, slog.New(slog.DiscardHandler))
	if err := again.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got, ok := again.get(5000); !ok || !got.Met {
		t.Error("the store says that all is read, and lacks who was met")
	}
	list.asked, list.peers, s.peers = 0, again, again
	s.fetchDialogs(t.Context())
	if list.asked != 1 {
		t.Errorf("asked %d times after a restart", list.asked)
	}
}

// There is a bound of pages.
func TestDialogsAreBounded(t *testing.T) {
	k, _ := held(t)
	p := newPeers(k, slog.New(slog.DiscardHandler))
	if err := p.load(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	list := &dialogList{of: groups(2 * dialogPages * dialogPage), peers: p}
	(&session{api: tg.NewClient(list), peers: p, log: slog.New(slog.DiscardHandler)}).fetchDialogs(t.Context())
	if list.asked != dialogPages {
		t.Errorf("asked %d times, want %d", list.asked, dialogPages)
	}
}
