package cloud

import (
	"slices"
	"sort"

	"github.com/gotd/td/tg"
)

const keepLog = 10000 // entries of an account's log, and messages in its box

// mailbox is an account's private messages and the log of what happened to them, numbered by pts.
type mailbox struct {
	base     int // first pts of this run of the server
	floor    int // pts before the oldest entry of the log
	pts      int
	nextID   int
	messages []*message // by id
	log      []logEntry
	dialogs  map[int64]*dialog
}

// message is one account's copy.
type message struct {
	id     int
	owner  int64 // user id
	peer   int64 // user id of the other side
	out    bool
	date   int
	text   string
	edited int                   // date of the last edit; 0: none
	action tg.MessageActionClass // not nil: a service message
	manner manner
	twin   *message // the other side's copy; nil in a chat with oneself
}

// logEntry is one step of pts.
type logEntry struct {
	pts, count int
	peer       int64
	msg        *message       // a new message
	update     tg.UpdateClass // or something else
}

// dialog is a chat as its owner sees it.
type dialog struct {
	peer      int64
	top       int // newest message
	readIn    int // up to here the owner has read
	readOut   int // up to here the other side has read
	newestAt  int // date of top
	unreadNum int
}

// newMailbox starts its numbers at base. A server that was started later has a larger base, so that clients which kept
// their state over a restart never see numbers go back.
func newMailbox(base int) mailbox {
	return mailbox{base: base, floor: base, pts: base, nextID: base, dialogs: map[int64]*dialog{}}
}

func (m *message) tl() tg.MessageClass {
	peer := &tg.PeerUser{UserID: m.peer}
	from := peer // the official library takes a message without from_id for one of the peer's
	if m.out {
		from = &tg.PeerUser{UserID: m.owner}
	}
	if m.action != nil {
		return &tg.MessageService{ID: m.id, Out: m.out, FromID: from, PeerID: peer, Date: m.date, Action: m.action}
	}
	t := &tg.Message{ID: m.id, Out: m.out, FromID: from, PeerID: peer, Date: m.date, Message: m.text, Offline: m.manner.away}
	if m.edited != 0 {
		t.SetEditDate(m.edited)
	}
	if m.manner.viaBot != 0 {
		t.SetViaBotID(m.manner.viaBot)
	}
	if card := m.manner.card; card != nil {
		t.SetMedia(card)
	}
	return t
}

// manner is what is special about how a message came about, or what it carries.
type manner struct {
	away   bool // by an answering machine
	viaBot int64
	card   *tg.MessageMediaContact
}

// put files a message and gives the update for it.
func (b *mailbox) put(m *message) *tg.UpdateNewMessage {
	b.nextID++
	m.id = b.nextID
	b.messages = append(b.messages, m)
	if len(b.messages) > keepLog {
		b.messages = b.messages[1:]
	}
	d := b.dialog(m.peer)
	d.top, d.newestAt = m.id, m.date
	if m.out {
		d.readIn, d.unreadNum = m.id, 0
	} else {
		d.unreadNum++
	}
	b.note(logEntry{count: 1, peer: m.peer, msg: m})
	return &tg.UpdateNewMessage{Message: m.tl(), Pts: b.pts, PtsCount: 1}
}

// edited logs that a message has changed and gives the update for it.
func (b *mailbox) edited(m *message) *tg.UpdateEditMessage {
	u := &tg.UpdateEditMessage{Message: m.tl(), PtsCount: 1}
	u.Pts = b.note(logEntry{count: 1, peer: m.peer, update: u})
	return u
}

func (b *mailbox) dialog(peer int64) *dialog {
	d := b.dialogs[peer]
	if d == nil {
		d = &dialog{peer: peer}
		b.dialogs[peer] = d
	}
	return d
}

// note adds to the log; e.pts is set here.
func (b *mailbox) note(e logEntry) int {
	b.pts += e.count
	e.pts = b.pts
	b.log = append(b.log, e)
	if len(b.log) > keepLog {
		b.floor = b.log[0].pts
		b.log = b.log[1:]
	}
	return b.pts
}

// since gives the entries after pts, at most limit, and whether there are more.
func (b *mailbox) since(pts, limit int) ([]logEntry, bool) {
	from := sort.Search(len(b.log), func(i int) bool { return b.log[i].pts > pts })
	rest := b.log[from:]
	if len(rest) > limit {
		return rest[:limit], true
	}
	return rest, false
}

// message by id; nil when there is none.
func (b *mailbox) message(id int) *message {
	i, ok := slices.BinarySearchFunc(b.messages, id, func(m *message, id int) int { return m.id - id })
	if !ok {
		return nil
	}
	return b.messages[i]
}

func (b *mailbox) remove(id int) *message {
	i, ok := slices.BinarySearchFunc(b.messages, id, func(m *message, id int) int { return m.id - id })
	if !ok {
		return nil
	}
	m := b.messages[i]
	b.messages = slices.Delete(b.messages, i, i+1)
	return m
}

func (b *mailbox) unread() (n int) {
	for _, d := range b.dialogs {
		n += d.unreadNum
	}
	return n
}

// history gives messages with a peer, newest first; those older than offsetID, when it is set.
func (b *mailbox) history(peer int64, offsetID, minID, limit int) (page []*message, total int) {
	for _, m := range slices.Backward(b.messages) {
		if m.peer != peer {
			continue
		}
		total++
		if (offsetID == 0 || m.id < offsetID) && m.id > minID && len(page) < limit {
			page = append(page, m)
		}
	}
	return page, total
}

// ordered gives the dialogs, newest first.
func (b *mailbox) ordered() []*dialog {
	all := make([]*dialog, 0, len(b.dialogs))
	for _, d := range b.dialogs {
		if d.top != 0 {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(x, y *dialog) int { return y.top - x.top })
	return all
}

// newest is the update of the last new message.
func (b *mailbox) newest() (*tg.UpdateNewMessage, bool) {
	for _, e := range slices.Backward(b.log) {
		if e.msg != nil {
			return &tg.UpdateNewMessage{Message: e.msg.tl(), Pts: e.pts, PtsCount: e.count}, true
		}
	}
	return nil, false
}
