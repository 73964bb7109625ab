package ari

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
)

// listing is what Asterisk and we each know at one moment.
type listing struct {
	expected map[string]*leg // what legs owned, and Asterisk had confirmed, before the lists were asked for
	channels map[string]*ariapi.ChannelData
	bridges  map[string]bool
	joined   map[string]bool                // channels that are in a bridge of ours
	owned    map[string]pbx.Ownership[*leg] // after the lists had come
}

func (s *listing) has(id string) bool { return s.channels[id] != nil || s.bridges[id] }

func (l *Link) list(ctx context.Context) (*listing, error) {
	s := &listing{expected: map[string]*leg{}, channels: map[string]*ariapi.ChannelData{}, bridges: map[string]bool{}, joined: map[string]bool{}}
	for id, o := range l.legs.Snapshot() {
		if o.Confirmed {
			s.expected[id] = o.Leg
		}
	}
	channels, err := l.rest.channels(ctx)
	if err != nil {
		return nil, err
	}
	for i := range channels {
		s.channels[channels[i].GetID()] = &channels[i]
	}
	bridges, err := l.rest.bridges(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range bridges {
		s.bridges[b.ID] = true
		for _, id := range b.ChannelIDs {
			s.joined[id] = s.joined[id] || l.ids.made(b.ID)
		}
	}
	s.owned = l.legs.Snapshot()
	return s, nil
}

// sweep reconciles at once and then every few seconds until ctx ends. Whatever it does needs two listings that agree:
// between a thing and the event that tells of it lies a moment in which one listing may see what we do not know yet.
func (l *Link) sweep(ctx context.Context, last *listing) {
	for {
		now, err := l.list(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.opt.Log.Warn("cannot list channels and bridges", "error", err)
		default:
			l.reconcile(ctx, last, now)
			last = now
		}
		if !pbx.Sleep(ctx, l.timing.sweep) {
			return
		}
	}
}

// reconcile tells legs what they have not heard of their channels, and removes from Asterisk what no leg owns.
func (l *Link) reconcile(ctx context.Context, last, now *listing) {
	for id, leg := range now.expected {
		if last.expected[id] == leg {
			l.tell(leg, id, last, now)
		}
	}
	orphaned := func(id string) bool {
		_, owned := now.owned[id]
		_, ownedBefore := last.owned[id]
		return last.has(id) && !owned && !ownedBefore && ctx.Err() == nil
	}
	for id, channel := range now.channels {
		if orphaned(id) {
			l.removeOrphan(ctx, channel)
		}
	}
	for id := range now.bridges {
		if l.ids.made(id) && orphaned(id) {
			l.logOrphan("bridge", id, l.rest.destroyBridge(ctx, id))
		}
	}
}

// tell repeats the events that a leg may have missed while there was no event socket; what it knows does not count twice.
func (l *Link) tell(leg *leg, id string, last, now *listing) {
	app := l.opt.App
	switch {
	case !last.has(id) && !now.has(id):
		leg.inbox.Put(vanished{id})
	case last.inApp(id, app) && now.inApp(id, app):
		leg.inbox.Put(event{Event: &ariapi.StasisStart{Channel: *now.channels[id]}, channel: id})
	case last.isElsewhere(id, app) && now.isElsewhere(id, app):
		leg.inbox.Put(event{Event: &ariapi.StasisEnd{Channel: *now.channels[id]}, channel: id})
	}
}

func (s *listing) inApp(id, app string) bool {
	return s.channels[id] != nil && inStasis(s.channels[id], app)
}

// isElsewhere reports whether a channel runs another part of the dialplan than us. One that a transfer has put into our bridge
// is there, whatever it ran before, and one that is being dialled runs nothing yet.
func (s *listing) isElsewhere(id, app string) bool {
	channel := s.channels[id]
	if channel == nil || s.joined[id] || inStasis(channel, app) {
		return false
	}
	runs := channel.GetDialplan().GetAppName()
	return runs != "" && runs != dialling
}

// removeOrphan hangs up a channel that we made, and gives one that the dialplan sent us back to the dialplan, also where we
// had made it once. Everything else is foreign, and so is a channel of ours that somebody redirected to other work.
func (l *Link) removeOrphan(ctx context.Context, channel *ariapi.ChannelData) {
	id := channel.GetID()
	// Without arguments, as only what we made enters, unless the dialplan has given none.
	bare := channel.GetDialplan().GetAppData() == l.opt.App
	switch {
	case l.ids.made(id) && (bare && inStasis(channel, l.opt.App) || isDialling(channel)):
		l.logOrphan("channel", id, l.rest.hangup(ctx, id, bridge.CauseOf(bridge.Failure).Q850))
	case inStasis(channel, l.opt.App):
		l.logOrphan("caller's channel", id, nil)
		l.turnAway(ctx, id, bridge.Failure)
	}
}

// isDialling reports whether a channel is one that we originated and nobody has answered.
func isDialling(channel *ariapi.ChannelData) bool {
	app := channel.GetDialplan().GetAppName()
	return strings.HasSuffix(channel.GetID(), "-out") && (app == "" || app == dialling) && channel.GetState() != "Up"
}

// dialling is what Asterisk calls the work of a channel that it originates.
const dialling = "AppDial2"

func (l *Link) logOrphan(kind, id string, err error) {
	if err != nil {
		l.opt.Log.Warn("cannot remove what no call owns from asterisk", "kind", kind, "id", id, "error", err)
		return
	}
	l.opt.Log.Warn("removed from asterisk what no call owns", "kind", kind, "id", id)
}

// lastSweep removes what the last calls could not, when the link closes. All legs have ended: nothing of this process
// has an owner.
func (l *Link) lastSweep(ctx context.Context) {
	if l.connected() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.opt.RequestTimeout)
	defer cancel()
	now, err := l.list(ctx)
	if err != nil {
		l.opt.Log.Warn("cannot look for what is left in asterisk", "error", err)
		return
	}
	var errs []error
	for id, channel := range now.channels {
		if strings.HasPrefix(id, l.ids.instance) && (inStasis(channel, l.opt.App) || isDialling(channel)) {
			errs = append(errs, l.rest.hangup(ctx, id, normalClearing))
		}
	}
	for id := range now.bridges {
		if strings.HasPrefix(id, l.ids.instance) {
			errs = append(errs, l.rest.destroyBridge(ctx, id))
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.opt.Log.Warn("something is left in asterisk", "error", fmt.Errorf("last sweep: %w", err))
	}
}
