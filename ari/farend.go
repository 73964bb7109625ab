package ari

import (
	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/routing"
)

// farEnd is who is at the other end of a channel that we have created. Behind a Local channel the dialplan decides that:
// whoever answers its Dial() or Queue(), and whoever its connected line names after that, as a transfer does. Before the
// answer the connected line names who is being rung.
type farEnd struct {
	line  routing.Party // as the connected line named it last
	talks routing.Party // who answered, or has come in their place; zero before
	up    bool          // somebody has answered
}

func partyOf(id *ariapi.CallerID) routing.Party {
	return routing.Party{Number: routing.SanitizeName(id.GetNumber()), Name: routing.SanitizeName(id.GetName())}
}

// name takes a connected line that was set.
func (f *farEnd) name(id *ariapi.CallerID) {
	f.line = partyOf(id)
	if f.up && f.line.Number != "" {
		f.talks = f.line
	}
}

// dialled takes what became of a channel that the dialplan has dialled.
func (f *farEnd) dialled(status string, peer *ariapi.CallerID) {
	switch status {
	case "": // it begins: whoever was there before is not any more
		f.up = false
	case "ANSWER":
		f.up = true
		if f.talks = partyOf(peer); f.talks.Number == "" {
			f.talks = f.line
		}
	}
}

// farEvent takes an event of the half of a Local channel that runs the dialplan.
func (out *outbound) farEvent(e event) {
	switch event := e.Event.(type) {
	case *ariapi.ChannelConnectedLine:
		out.party.name(event.Channel.GetConnected())
	case *ariapi.Dial:
		if e.by != out.far {
			return
		}
		out.party.dialled(event.Dialstatus, event.Peer.GetCaller())
	}
	out.identify()
}

// identify tells who is at the other end, once the channel is answered, and again when that changes.
func (out *outbound) identify() {
	party := out.party.talks
	if out.state == waiting || party.Number == "" || party == out.known.Party || party.Number == out.target.Caller.Number {
		return
	}
	out.known.Party = party
	out.emit(bridge.Identified{Party: party})
}
