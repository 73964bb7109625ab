package voip

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/reflector"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

// What the losses of the matrix are, and how much of a tone must be left by them.
const (
	mediaLost  = 0.1
	signalLost = 0.2
	pureAlways = 0.95
	pureLossy  = 0.8
)

// compatServers are what all calls of the matrix share: servers that lose nothing, and servers that lose mediaLost of
// what they hand on.
type compatServers struct {
	wheel      *media.Wheel
	turn       map[bool]Server
	reflectors map[bool]*reflector.Server
}

func startCompatServers(t *testing.T) *compatServers {
	lose := losing(mediaLost, 1)
	return &compatServers{
		wheel: startWheel(t),
		turn:  map[bool]Server{false: startTURN(t), true: startLossyTURN(t, lose)},
		reflectors: map[bool]*reflector.Server{
			false: startReflector(t, reflector.Options{}).Server, true: startReflector(t, reflector.Options{Lose: lose}).Server,
		},
	}
}

// compatPath is a way between the two ends.
type compatPath string

const (
	direct       compatPath = "direct"
	turnRelay    compatPath = "TURN relay"
	reflectorUDP compatPath = "reflector, UDP"
	reflectorTCP compatPath = "reflector, TCP"
)

// options sets a call up on the path; media of direct calls is lost on a road of their own.
func (p compatPath) options(t *testing.T, servers *compatServers, loss bool, seed uint64) pairOptions {
	switch p {
	case direct:
		if loss {
			return pairOptions{prepare: newRoad(t, mediaLost, seed).prepare}
		}
		return pairOptions{}
	case turnRelay:
		return pairOptions{relayOnly: true, servers: []Server{servers.turn[loss]}}
	}
	protocol := strings.ToLower(strings.TrimPrefix(string(p), "reflector, "))
	r := grant(t, servers.reflectors[loss])
	return pairOptions{relayOnly: true, mine: r.servers(1, r.caller, protocol), theirs: r.servers(1, r.callee, protocol)}
}

// compatCall is one call of the matrix; it fills a row for either role.
type compatCall struct {
	version string
	path    compatPath
	custom  string // custom parameters of both ends
	loss    bool   // mediaLost of the packets is lost
	deaf    bool   // signalLost of the signalling is lost
	never   bool   // there is nothing to expect: the version repeats no signalling
}

// compatCells is what a row says of one end.
type compatCells struct {
	setup         time.Duration // from the start of the engine until ICE and DTLS are up
	purity        float64       // the least share of energy that was the other end's tone
	mute, restart string
}

const (
	compatYes   = "yes"
	compatNo    = "NO"
	compatSkip  = "–"
	compatNever = "not possible: nothing is repeated"
)

// compatMatrix lists the calls: every version on every path with every loss, and what custom parameters change. The
// reference engines know no such parameters.
func compatMatrix() []compatCall {
	var all []compatCall
	for _, v := range everyVersion() {
		for _, path := range []compatPath{direct, turnRelay, reflectorUDP, reflectorTCP} {
			all = append(all, compatCall{version: v, path: path},
				compatCall{version: v, path: path, deaf: true, never: v == "7.0.0"},
				compatCall{version: v, path: path, loss: true})
		}
		if slices.Contains(signaling.ReferenceVersions(), v) {
			continue
		}
		all = append(all, compatCall{version: v, path: direct, custom: useMTProto})
		if (parameters{}).carried(v) {
			all = append(all, compatCall{version: v, path: direct, custom: `{"network_signaling_nosctp":true}`})
		} else {
			all = append(all, compatCall{version: v, path: direct, custom: `{"network_kcp_experiment":true}`})
		}
		if v == signaling.Versions()[0] {
			for _, path := range []compatPath{turnRelay, reflectorUDP, reflectorTCP} {
				all = append(all, compatCall{version: v, path: path, custom: useMTProto})
			}
			all = append(all, compatCall{version: v, path: direct, custom: useMTProto, loss: true})
		}
	}
	return all
}

func (c compatCall) String() string {
	text := fmt.Sprintf("%s, %s", c.version, c.path)
	if c.custom != "" {
		text += " " + c.custom
	}
	return text + ", " + c.lost()
}

func (c compatCall) lost() string {
	switch {
	case c.deaf:
		return fmt.Sprintf("%.0f %% of signalling", signalLost*100)
	case c.loss:
		return fmt.Sprintf("%.0f %% of media", mediaLost*100)
	}
	return "none"
}

// run carries the call with tones both ways and returns the cells of the caller and the callee.
func (c compatCall) run(t *testing.T, servers *compatServers, seed uint64) (cells [2]compatCells) {
	o := c.path.options(t, servers, c.loss, seed)
	o.version, o.customCaller, o.customCallee, o.delayed = c.version, c.custom, c.custom, true
	p := newPair(t, o)
	silenced := new(atomic.Int64)
	if c.deaf {
		silenced = p.loseSignaling(signalLost, seed)
	}
	ends := [2]*side{p.caller, p.callee}
	for _, s := range ends {
		s.start(t)
	}
	for _, s := range ends {
		awaitState(t, s.Engine, 40*time.Second, Established)
	}
	until(t, 30*time.Second, "both offers answered", func() bool {
		return p.caller.flow.writable() && p.callee.flow.writable()
	})
	desks := p.desks(t, servers.wheel)
	stretch := time.Second
	if c.loss {
		stretch = 2 * time.Second
	}
	pure := listen(t, desks, stretch, c.least())
	for i, s := range ends {
		stats := s.Stats()
		cells[i] = compatCells{stats.Timings.DTLS.Sub(stats.Timings.Started), pure[i], compatSkip, compatSkip}
		if (stats.Local == "relay") != (c.path != direct) {
			t.Errorf("the call took the pair %s-%s", stats.Local, stats.Remote)
		}
	}
	lost := p.caller.Stats().Media.PacketsLost + p.callee.Stats().Media.PacketsLost
	if c.loss && lost == 0 || c.deaf && silenced.Load() == 0 {
		t.Error("nothing was lost")
	}
	if c.loss || c.deaf {
		return cells
	}
	for i, s := range ends {
		peer := ends[1-i]
		s.SetMuted(true)
		await(t, peer.Engine, 5*time.Second, func(m PeerMediaState) bool { return m.Muted })
		s.restartICE()
		for _, e := range []*Engine{s.Engine, peer.Engine} {
			awaitState(t, e, 5*time.Second, Reconnecting)
			awaitState(t, e, 10*time.Second, Established)
		}
		after := listen(t, desks, 500*time.Millisecond, c.least())
		for j := range cells {
			cells[j].purity = min(cells[j].purity, after[j])
		}
		cells[i].mute, cells[i].restart = compatYes, compatYes
	}
	return cells
}

// least is the purity that the call must have.
func (c compatCall) least() float64 {
	if c.loss {
		return pureLossy
	}
	return pureAlways
}

// row prints a line of the table.
func (c compatCall) row(role Role, cells compatCells) string {
	path := string(c.path)
	if _, name, ok := strings.Cut(c.custom, `"`); ok {
		name, _, _ = strings.Cut(name, `"`)
		path += ", `" + name + "`"
	}
	setup, purity := fmt.Sprint(cells.setup.Milliseconds()), fmt.Sprintf("%.2f", cells.purity)
	if c.never {
		setup, purity = compatSkip, compatNever
	}
	return fmt.Sprintf("| %s | %v | %s | %s | %s | %s | %s | %s |", c.version, role, path, c.lost(), setup, purity, cells.mute, cells.restart)
}
