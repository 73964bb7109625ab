package esl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// listing is what FreeSWITCH and we each know at one moment.
type listing struct {
	expected map[string]*leg // what legs owned, and FreeSWITCH had confirmed, before the list was asked for
	channels map[string]row
	owned    map[string]pbx.Ownership[*leg] // after the list had come
}

func (s *listing) has(id string) bool {
	_, is := s.channels[id]
	return is
}

func (l *Link) list(ctx context.Context, v verbs) (*listing, error) {
	s := &listing{expected: map[string]*leg{}, channels: map[string]row{}}
	for id, o := range l.legs.Snapshot() {
		if o.Confirmed {
			s.expected[id] = o.Leg
		}
	}
	rows, err := v.channels(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if validID(r.ID) {
			s.channels[r.ID] = r
		}
	}
	s.owned = l.legs.Snapshot()
	return s, nil
}

// sweep reconciles soon and then every few seconds until ctx ends. Whatever it does needs two listings that agree:
// between a thing and the event that tells of it lies a moment in which one listing may see what we do not know yet,
// and FreeSWITCH's listing itself lags behind its channels.
func (l *Link) sweep(ctx context.Context, last *listing, accept func(bridge.Offer)) {
	known := map[string]bool{} // parked channels of others, which need not be asked again
	for pause := min(listingLag, l.timing.sweep); pbx.Sleep(ctx, pause); pause = l.timing.sweep {
		now, err := l.list(ctx, l.verbs())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.opt.Log.Warn("cannot list channels", "error", err)
		default:
			l.reconcile(ctx, last, now)
			l.adopt(ctx, last, now, known, accept)
			last = now
		}
	}
}

const listingLag = 500 * time.Millisecond

// reconcile ends legs whose channels are gone, and hangs up what no leg owns.
func (l *Link) reconcile(ctx context.Context, last, now *listing) {
	for id, leg := range now.expected {
		if last.expected[id] == leg && !last.has(id) && !now.has(id) {
			leg.inbox.Put(vanished{id})
		}
	}
	for id := range now.channels {
		switch {
		case l.isCondemned(id):
			l.execute(ctx, id)
		case strings.HasPrefix(id, l.ids.mark) && orphaned(last, now, id) && !l.isSpared(id) && ctx.Err() == nil && !l.isFree(ctx, id):
			l.logOrphan("channel", id, l.verbs().kill(ctx, id, "NORMAL_TEMPORARY_FAILURE"))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.condemned {
		if !now.has(id) && !last.has(id) {
			delete(l.condemned, id)
		}
	}
}

// orphaned reports whether a channel was there and had no leg, at both moments.
func orphaned(last, now *listing, id string) bool {
	_, owned := now.owned[id]
	_, ownedBefore := last.owned[id]
	return last.has(id) && now.has(id) && !owned && !ownedBefore
}

// execute hangs a condemned channel up.
func (l *Link) execute(ctx context.Context, id string) {
	err := l.verbs().kill(ctx, id, "NORMAL_TEMPORARY_FAILURE")
	l.logOrphan("channel", id, err)
	if err == nil {
		l.mu.Lock()
		delete(l.condemned, id)
		l.mu.Unlock()
	}
}

// adopt takes the callers that were parked for us while nobody listened: before this process began, or while the
// connection was down. Of a parked channel only its variables say whom it is for.
func (l *Link) adopt(ctx context.Context, last, now *listing, known map[string]bool, accept func(bridge.Offer)) {
	for id := range known {
		if !now.has(id) {
			delete(known, id)
		}
	}
	for id, r := range now.channels {
		if !r.parked() || known[id] || strings.HasPrefix(id, l.ids.mark) || !orphaned(last, now, id) || ctx.Err() != nil {
			continue
		}
		e, err := l.verbs().dump(ctx, id)
		switch {
		case err != nil && !isGone(err):
			l.opt.Log.Warn("cannot look at a parked channel", "channel", id, "error", err)
			continue
		case err != nil:
			continue
		case e.variable(varApp) != l.opt.App && e.variable(varTaken) != l.opt.App:
			known[id] = true
			continue
		}
		l.opt.Log.Info("found a caller who was parked for us", "channel", id)
		l.arrive(context.WithoutCancel(ctx), e, accept)
	}
}

func (l *Link) logOrphan(kind, id string, err error) {
	if err != nil {
		l.opt.Log.Warn("cannot remove what no call owns from freeswitch", "kind", kind, "id", id, "error", err)
		return
	}
	l.opt.Log.Warn("removed from freeswitch what no call owns", "kind", kind, "id", id)
}

// lastSweep removes what the last calls could not, when the link closes. All legs have ended: nothing of this process
// has an owner.
func (l *Link) lastSweep(ctx context.Context) {
	v := l.verbs()
	if v.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.RequestTimeout)
	defer cancel()
	now, err := l.list(ctx, v)
	if err != nil {
		l.opt.Log.Warn("cannot look for what is left in freeswitch", "error", err)
		return
	}
	var errs []error
	for id := range now.channels {
		if strings.HasPrefix(id, l.ids.instance) && !l.isFree(ctx, id) || l.isCondemned(id) {
			errs = append(errs, v.kill(ctx, id, "NORMAL_CLEARING"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.opt.Log.Warn("something is left in freeswitch", "error", fmt.Errorf("last sweep: %w", err))
	}
}
