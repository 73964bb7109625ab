package cloud

import (
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"github.com/tgtrunk/tgtrunk/telegram/cloud/mtserver"
)

// sliceSize is how many log entries one updates.getDifference gives at most.
const sliceSize = 500

// news is what an account is told.
type news struct {
	updates  []tg.UpdateClass
	users    []*account // whom the updates name
	skip     *device    // that knows already
	only     *device    // nil: all
	numbered bool       // has no pts, so it gets a seq and a loss shows
}

// push sends updates to the devices of an account that asked for them. What does not arrive, updates.getDifference gives.
func (s *Server) push(to *account, n news) {
	for _, d := range to.sortedDevices() {
		if d == n.skip || n.only != nil && d != n.only {
			continue
		}
		u := &tg.Updates{
			Updates: n.updates, Users: s.usersFor(to, append([]*account{to}, n.users...)...), Chats: []tg.ChatClass{}, Date: int(s.now().Unix()),
		}
		if n.numbered {
			d.seq++
			u.Seq = d.seq
		}
		to.fate.last = u
		if d.main != nil && !to.fate.dropUpdates {
			s.tell(d.main, u)
		}
	}
}

// tell sends one message to one session; while a query is carried out it waits for the query's answer.
func (s *Server) tell(session *mtserver.Session, update bin.Encoder) {
	if s.hold {
		s.held = append(s.held, parcel{session, update})
		return
	}
	if err := session.Push(update); err != nil {
		s.log.Error("push update", "err", err)
	}
}

func addUpdates(m methods) {
	on(m, (*request).getState)
	on(m, (*request).getDifference)
}

// subscribe makes the session of the query the one that gets the device's updates.
func (r *request) subscribe() {
	if !r.call.NoUpdates {
		r.dev.main = r.call.Session
	}
}

// state is the update state of a device. qts counts secret chats and bots' events, of which there are none.
func (r *request) state() tg.UpdatesState {
	return tg.UpdatesState{Pts: r.me.box.pts, Qts: 1, Date: int(r.now().Unix()), Seq: r.dev.seq, UnreadCount: r.me.box.unread()}
}

func (r *request) getState(*tg.UpdatesGetStateRequest) (bin.Encoder, error) {
	r.subscribe()
	state := r.state()
	return &state, nil
}

func (r *request) getDifference(q *tg.UpdatesGetDifferenceRequest) (bin.Encoder, error) {
	if q.Pts <= 0 {
		return nil, fail(400, "PERSISTENT_TIMESTAMP_EMPTY")
	}
	r.subscribe()
	box := &r.me.box
	box.pts = max(box.pts, q.Pts) // a client that knows more than we do, after our clock went back
	if q.Pts < box.floor && q.Pts >= box.base {
		return &tg.UpdatesDifferenceTooLong{Pts: box.pts}, nil
	}
	entries, more := box.since(q.Pts, sliceSize)
	d := r.difference(entries)
	if more {
		state := r.state()
		state.Pts = entries[len(entries)-1].pts
		return &tg.UpdatesDifferenceSlice{
			NewMessages: d.messages, NewEncryptedMessages: []tg.EncryptedMessageClass{}, OtherUpdates: d.updates,
			Chats: []tg.ChatClass{}, Users: r.usersFor(r.me, d.users...), IntermediateState: state,
		}, nil
	}
	for _, c := range r.callsSince(r.dev, time.Unix(int64(q.Date), 0)) {
		d.updates = append(d.updates, &tg.UpdatePhoneCall{PhoneCall: c.seenBy(r.Server, r.me, r.dev)})
		d.users = append(d.users, c.caller, c.callee)
	}
	if len(d.messages)+len(d.updates) == 0 && q.Pts == box.pts {
		return &tg.UpdatesDifferenceEmpty{Date: int(r.now().Unix()), Seq: r.dev.seq}, nil
	}
	return &tg.UpdatesDifference{
		NewMessages: d.messages, NewEncryptedMessages: []tg.EncryptedMessageClass{}, OtherUpdates: d.updates,
		Chats: []tg.ChatClass{}, Users: r.usersFor(r.me, d.users...), State: r.state(),
	}, nil
}

// missed is what a device did not get.
type missed struct {
	messages []tg.MessageClass
	updates  []tg.UpdateClass
	users    []*account
}

func (r *request) difference(entries []logEntry) missed {
	d := missed{users: []*account{r.me}}
	for _, e := range entries {
		if e.msg != nil {
			d.messages = append(d.messages, e.msg.tl())
		} else {
			d.updates = append(d.updates, e.update)
		}
		if peer := r.accounts[e.peer]; peer != nil {
			d.users = append(d.users, peer)
		}
	}
	return d
}
