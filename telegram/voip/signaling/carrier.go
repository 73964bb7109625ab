package signaling

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"
)

const (
	// handshakeLimit ends an attempt of ours before pion's eight retransmissions of INIT or COOKIE ECHO are used up
	// (13 s with rtoMax); the next one has a new tag and a new TSN.
	handshakeLimit = 12 * time.Second
	redialDelay    = time.Second // before an attempt of ours that follows a lost association
	stuckAfter     = 3 * time.Second
	rtoMax         = 1500 // ms, of INIT, COOKIE ECHO and DATA
	mtu            = 1200
	receiveWindow  = 5 << 20
	maxSCTPMessage = 262144

	// keptMessages is how many sent messages are repeated over a new association. The receiver drops what it has had
	// by its replay window, which this must stay below.
	keptMessages = 48
	maxWaiting   = 4096
	maxRetired   = 16
)

// carrier is the SCTP under V3: one association that is up or comes up, and its replacement when the peer starts anew.
//
// A caller opens the association at once and tries until Run ends. A callee waits for the caller's INIT; it opens one
// itself only to replace one that was lost while messages waited. Either way an INIT of the peer is answered, so that
// simultaneous opens work (RFC 9260 section 5.2.1).
type carrier struct {
	c *channel

	mu      sync.Mutex
	over    bool // Run ends
	wg      sync.WaitGroup
	live    *association
	next    *association // may replace live: it answers an INIT of a peer that starts anew, or tries to free one that is stuck
	retired []uint32     // the peer's tags of former associations
	written [][]byte     // the latest messages given to an association, encrypted
	waiting [][]byte     // messages not given to any association yet, encrypted
	plain   bool         // messages go without SCTP
	redial  time.Time    // when to open an association ourselves; zero: not
}

// association is one association of pion and its connection.
type association struct {
	conn   *conn
	dial   bool // we sent the first INIT
	stream *sctp.Stream
	sctp   *sctp.Association // set together with stream, when the handshake is done
	since  time.Time         // when that was
}

func newCarrier(c *channel) *carrier { return &carrier{c: c, plain: c.cfg.NoSCTP} }

// open starts the first association; close ends all of them.
func (k *carrier) open() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live = k.start(k.c.cfg.Role == Caller && !k.plain)
}

func (k *carrier) close() {
	k.mu.Lock()
	k.over = true
	for _, a := range []*association{k.live, k.next} {
		if a != nil {
			a.conn.end(errConn)
		}
	}
	k.mu.Unlock()
	k.wg.Wait()
}

// start begins an association. k.mu is held.
func (k *carrier) start(dial bool) *association {
	a := &association{dial: dial}
	a.conn = newConn(k.post, k.c.cfg.Timers)
	k.c.count(func(s *Stats) { s.Associations++ })
	k.wg.Go(func() { k.serve(a) })
	return a
}

// post hands a packet of an association to the outbox.
func (k *carrier) post(packet []byte, resent bool) {
	if kind, _ := firstChunk(packet); kind == chunkCookieEcho || kind == chunkData {
		// An INIT that has not left yet is obsolete, and a web engine would take it for a new start.
		k.c.outbox.remove(func(p []byte) bool {
			waiting, ok := firstChunk(p)
			return ok && waiting == chunkInit
		})
	}
	if k.c.cfg.Timers != (SCTPTimers{}) {
		k.c.outgoing.poke() // the goroutine of Run looks at deadline again
	}
	if resent {
		k.c.count(func(s *Stats) { s.Resent++ })
	}
	if !k.c.outbox.pushOnce(packet) {
		k.c.drop(errOverflow)
	}
}

// serve runs one association to its end.
func (k *carrier) serve(a *association) {
	err := k.handshake(a)
	if err == nil {
		err = k.read(a)
		a.conn.end(err)
		_ = a.sctp.Close()
	}
	a.conn.end(err)
	k.ended(a, err)
}

// handshake returns when the association is up.
func (k *carrier) handshake(a *association) error {
	options := []sctp.AssociationOption{
		sctp.WithNetConn(a.conn),
		sctp.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
		sctp.WithEnableInterleaving(false),
		sctp.WithEnableZeroChecksum(false),
		sctp.WithMTU(mtu),
		sctp.WithRTOMax(k.c.cfg.Timers.rtoMax()),
		sctp.WithMaxReceiveBufferSize(receiveWindow),
		sctp.WithMaxMessageSize(maxSCTPMessage),
	}
	var up *sctp.Association
	var err error
	if a.dial {
		limit := time.AfterFunc(handshakeLimit, func() { a.conn.end(errConn) })
		defer limit.Stop()
		client := make([]sctp.ClientOption, 0, len(options))
		for _, o := range options {
			client = append(client, o)
		}
		up, err = sctp.ClientWithOptions(client...)
	} else {
		server := make([]sctp.ServerOption, 0, len(options))
		for _, o := range options {
			server = append(server, o)
		}
		up, err = sctp.ServerWithOptions(server...)
	}
	if err != nil {
		return err
	}
	stream, err := up.OpenStream(sctpStream, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		_ = up.Close()
		return err
	}
	stream.SetReliabilityParams(false, sctp.ReliabilityTypeReliable, 0)
	k.established(a, up, stream)
	return nil
}

// established makes an association the one that carries messages.
func (k *carrier) established(a *association, up *sctp.Association, stream *sctp.Stream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a.sctp, a.stream, a.since = up, stream, time.Now()
	if a == k.next {
		if k.live.sctp != nil {
			k.retire(k.live)
		}
		k.live.conn.end(errForeign)
		k.live, k.next = a, nil
	}
	if a != k.live {
		return
	}
	k.c.log.Debug("signaling association is up", "dialed", a.dial, "repeated", len(k.written), "waiting", len(k.waiting))
	k.plain, k.redial = false, time.Time{}
	for _, packet := range k.written {
		_, _ = stream.WriteSCTP(packet, sctp.PayloadTypeWebRTCBinary)
	}
	k.flush()
}

// read hands received messages to the goroutine of Run until the association ends.
func (k *carrier) read(a *association) error {
	buffer := make([]byte, 4096)
	for {
		n, _, err := a.stream.ReadSCTP(buffer)
		switch {
		case errors.Is(err, io.ErrShortBuffer) && n <= receiveWindow:
			buffer = make([]byte, n)
		case err != nil:
			return err
		case n > maxPacketSize:
			k.c.drop(ErrLong)
			buffer = make([]byte, 4096)
		default:
			if !k.c.unwrapped.push(slices.Clone(buffer[:n])) {
				k.c.drop(errOverflow)
			}
		}
	}
}

// ended decides what follows an association.
func (k *carrier) ended(a *association, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a == k.next {
		k.next = nil
	}
	if a != k.live || k.over {
		return
	}
	if k.next == nil {
		k.c.outbox.remove(isSCTP) // nobody waits for these any more
	}
	if a.sctp == nil {
		dial := a.dial || k.c.cfg.Role == Caller && !k.plain
		soon := time.Since(a.conn.born) < redialDelay
		k.live = k.start(dial && !soon)
		if dial && soon { // aborted by the peer, as it may do again
			k.redialSoon()
		}
		return
	}
	k.c.log.Debug("signaling association was lost", "reason", a.conn.reason(), "error", err)
	k.retire(a)
	if k.live, k.next = k.next, nil; k.live == nil {
		k.live = k.start(false)
	}
	// A peer that aborted knows; one that did not still sends to the old association.
	if !errors.Is(a.conn.reason(), errAborted) || len(k.waiting) > 0 || a.sctp.BufferedAmount() > 0 {
		k.redialSoon()
	}
}

// retire remembers the peer's tag of an association that is over. k.mu is held.
func (k *carrier) retire(a *association) {
	k.retired = append(k.retired, a.conn.told().peerTag)
	k.retired = k.retired[max(len(k.retired)-maxRetired, 0):]
}

// redialSoon plans an association of ours. k.mu is held.
func (k *carrier) redialSoon() {
	if k.redial.IsZero() {
		k.redial = time.Now().Add(redialDelay)
	}
	k.c.outgoing.poke() // the goroutine of Run looks at deadline again
}

// deadline returns when tick is to be called.
func (k *carrier) deadline() (at time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, ok = k.redial, !k.redial.IsZero()
	earlier := func(t time.Time, set bool) {
		if set && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	earlier(k.live.conn.gap())
	earlier(k.live.conn.again())
	if k.next != nil {
		earlier(k.next.conn.again())
	}
	earlier(k.stuck())
	return at, ok
}

// stuck returns when an association that a web engine began is taken for stuck. The engine repeats neither COOKIE ECHO
// nor DATA, and a callee says nothing before the caller, so the loss of COOKIE ECHO or COOKIE ACK would be final; an
// INIT of ours brings the engine on. k.mu is held.
func (k *carrier) stuck() (at time.Time, ok bool) {
	a := k.live
	told := a.conn.told()
	switch {
	case a.dial || k.plain || k.next != nil || told.initAt.IsZero() || !a.conn.isWeb():
		return at, false
	case a.sctp == nil:
		return told.initAt.Add(stuckAfter), true
	}
	return a.since.Add(stuckAfter), !told.proved
}

// tick does what is due.
func (k *carrier) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if at, ok := k.live.conn.gap(); ok && !now.Before(at) {
		k.live.conn.skip()
	}
	k.live.conn.repeat(now)
	if k.next != nil {
		k.next.conn.repeat(now)
	}
	if at, ok := k.stuck(); ok && !now.Before(at) {
		k.next = k.start(true) // what comes for the old one until this one is up counts
	}
	if k.redial.IsZero() || now.Before(k.redial) {
		return
	}
	k.redial = time.Time{}
	if k.live.sctp == nil && !k.live.dial && k.next == nil && !k.plain {
		waiting := k.live
		k.live = k.start(true)
		waiting.conn.end(errConn)
	}
}

// write takes an encrypted message. It reports false when too many wait.
func (k *carrier) write(packet []byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.waiting) >= maxWaiting {
		return false
	}
	k.waiting = append(k.waiting, packet)
	k.flush()
	return true
}

// flush gives waiting messages to what can carry them. k.mu is held.
func (k *carrier) flush() {
	switch {
	case k.live.sctp != nil:
		for _, packet := range k.waiting {
			// An error means that the association is ending; what is kept is repeated by the next one.
			_, _ = k.live.stream.WriteSCTP(packet, sctp.PayloadTypeWebRTCBinary)
		}
	case k.plain:
		for _, packet := range k.waiting {
			k.c.post(slices.Clone(packet))
		}
	default:
		if len(k.retired) > 0 && !k.live.dial {
			k.redialSoon()
		}
		return
	}
	k.written = append(k.written, k.waiting...)
	k.written = slices.Delete(k.written, 0, max(len(k.written)-keptMessages, 0))
	k.waiting = nil
}

// goPlain drops SCTP because the peer sends plain packets and no association is up.
func (k *carrier) goPlain() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plain || k.live.sctp != nil {
		return
	}
	k.c.log.Debug("signaling goes on without sctp")
	k.plain, k.redial = true, time.Time{}
	for _, packet := range k.written {
		k.c.post(slices.Clone(packet))
	}
	k.flush()
	if k.live.dial {
		dialed := k.live
		k.live = k.start(false)
		dialed.conn.end(errConn)
	}
}
