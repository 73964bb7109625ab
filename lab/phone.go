package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/tgtrunk/tgtrunk/media"
)

const (
	// phoneHeader names the endpoint a phone's request comes from, so that the caller number stays free.
	phoneHeader = "X-Lab-Phone"

	byeDeadline   = 2 * time.Second // for the answer to a BYE or a CANCEL
	closePatience = 3 * time.Second // for all calls of a phone to end by themselves
	callsKept     = 64              // incoming calls that nobody has asked for yet
)

// ErrPhoneClosed says that the phone has been closed.
var ErrPhoneClosed = errors.New("phone is closed")

// PhoneOptions describe a phone.
type PhoneOptions struct {
	Name    string        // the endpoint's name in Asterisk
	Port    int           // UDP port on loopback, as in SIPEndpoint.ContactPort; 0 takes a free one
	Server  string        // Asterisk's SIPAddr, needed to place calls; SetServer gives it later
	Codecs  []media.Codec // PCMU, PCMA, Opus in order of preference; default the first two
	Tone    float64       // Hz it plays in every call from the answer on; 0 plays silence
	Answer  Behaviour     // what it does with incoming calls; default: answer at once
	Headers []sip.Header  // more headers for every INVITE it sends
	Log     *slog.Logger  // default: none
}

// Phone is a SIP phone on loopback that does not register. Safe for concurrent use.
type Phone struct {
	options PhoneOptions // set once
	log     *slog.Logger
	conn    *net.UDPConn
	ua      *sipgo.UserAgent
	client  *sipgo.Client
	dialogs *sipgo.DialogUA
	port    int
	ctx     context.Context // ends when Close begins; the parent of every call
	cancel  context.CancelFunc
	serving sync.WaitGroup // the socket's reader
	running sync.WaitGroup // calls
	come    chan *PhoneCall

	mu     sync.Mutex // guards everything below
	answer func(number string) Behaviour
	server string
	calls  map[string]*PhoneCall // by Call-ID
	closed bool
}

// NewPhone opens a phone. Close ends it.
func NewPhone(o PhoneOptions) (*Phone, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Codecs) == 0 {
		o.Codecs = []media.Codec{media.PCMU, media.PCMA}
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: o.Port})
	if err != nil {
		return nil, fmt.Errorf("open phone %s: %w", o.Name, err)
	}
	p := &Phone{
		options: o, log: o.Log.With("phone", o.Name), conn: conn, answer: func(string) Behaviour { return o.Answer }, server: o.Server,
		port: conn.LocalAddr().(*net.UDPAddr).Port, calls: map[string]*PhoneCall{}, come: make(chan *PhoneCall, callsKept),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.serve(); err != nil {
		p.cancel()
		_ = conn.Close()
		return nil, fmt.Errorf("open phone %s: %w", o.Name, err)
	}
	return p, nil
}

// Addr is where the phone takes SIP over UDP.
func (p *Phone) Addr() string { return p.conn.LocalAddr().String() }

// Port is the port of Addr.
func (p *Phone) Port() int { return p.port }

// SetAnswer changes what happens to incoming calls from now on.
func (p *Phone) SetAnswer(b Behaviour) { p.SetAnswerBy(func(string) Behaviour { return b }) }

// SetAnswerBy is SetAnswer where it depends on the caller's number.
func (p *Phone) SetAnswerBy(choose func(number string) Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = choose
}

// SetServer says where calls are placed: phones come first, since Asterisk's configuration has their ports.
func (p *Phone) SetServer(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = addr
}

// NextCall waits for an incoming call, whatever the phone does with it.
func (p *Phone) NextCall(ctx context.Context) (*PhoneCall, error) {
	select {
	case c := <-p.come:
		return c, nil
	case <-p.ctx.Done():
		return nil, ErrPhoneClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a call to phone %s: %w", p.options.Name, ctx.Err())
	}
}

// Close hangs every call up and returns when nothing of the phone is left.
func (p *Phone) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closePatience): // the other side does not answer any more
	}
	_ = p.conn.Close()
	p.serving.Wait()
	if err := p.ua.Close(); err != nil {
		p.log.Debug("close sip layers", "err", err)
	}
	<-ended
}

// serve starts the SIP layers on the socket and returns when they can send.
func (p *Phone) serve() error {
	quiet := slog.New(slog.DiscardHandler) // the SIP layers report what belongs to every call as errors
	ua, err := sipgo.NewUA(sipgo.WithUserAgent(p.options.Name), sipgo.WithUserAgentHostname("127.0.0.1"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {})))
	if err != nil {
		return err
	}
	server, err := sipgo.NewServer(ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		return err
	}
	p.client, err = sipgo.NewClient(ua, sipgo.WithClientLogger(quiet), sipgo.WithClientHostname("127.0.0.1"),
		sipgo.WithClientPort(p.port), sipgo.WithClientConnectionAddr(p.Addr()))
	if err != nil {
		return err
	}
	contact := sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: p.options.Name, Host: "127.0.0.1", Port: p.port}}
	p.ua, p.dialogs = ua, &sipgo.DialogUA{Client: p.client, ContactHDR: contact}
	server.OnInvite(p.onInvite)
	server.OnAck(p.onAck)
	server.OnBye(p.onBye)
	server.OnNotify(p.onNotify)
	server.OnCancel(func(req *sip.Request, tx sip.ServerTransaction) { // of a call that has gone
		respond(req, tx, sip.StatusCallTransactionDoesNotExists, "Call Does Not Exist")
	})
	server.OnUpdate(p.onUpdate)
	for _, method := range []sip.RequestMethod{sip.OPTIONS, sip.INFO, sip.MESSAGE} {
		server.OnRequest(method, func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, sip.StatusOK, "OK") })
	}
	socket := &announcedConn{UDPConn: p.conn, reading: make(chan struct{})}
	p.serving.Go(func() { _ = server.ServeUDP(socket) }) // ends when the socket is closed
	<-socket.reading
	return nil
}

// announcedConn says when it is first read from: by then the SIP layer knows it and sends through it.
type announcedConn struct {
	*net.UDPConn
	once    sync.Once
	reading chan struct{}
}

func (c *announcedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.once.Do(func() { close(c.reading) })
	return c.UDPConn.ReadFrom(b)
}

func respond(req *sip.Request, tx sip.ServerTransaction, status int, text string) {
	_ = tx.Respond(sip.NewResponseFromRequest(req, status, text, nil)) // a lost answer is asked for again
}

// onInvite takes a new call, or a change of one there is.
func (p *Phone) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if _, inDialog := req.To().Params.Get("tag"); inDialog {
		if c := p.find(req); c != nil {
			c.reinvited(req, tx)
			return
		}
		respond(req, tx, sip.StatusCallTransactionDoesNotExists, "Call Does Not Exist")
		return
	}
	p.takeCall(req, tx)
}

func (p *Phone) onAck(req *sip.Request, tx sip.ServerTransaction) {
	c := p.find(req)
	if c == nil {
		return
	}
	if _, server := c.dialog(); server != nil {
		_ = server.ReadAck(req, tx) // fails for that of a re-INVITE, which nothing waits for
	}
}

func (p *Phone) onBye(req *sip.Request, tx sip.ServerTransaction) {
	c := p.find(req)
	if c == nil {
		respond(req, tx, sip.StatusCallTransactionDoesNotExists, "Call Does Not Exist")
		return
	}
	c.ended(req)
	c.readBye(req, tx)
}

// onNotify takes the progress of a transfer.
func (p *Phone) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	respond(req, tx, sip.StatusOK, "OK")
	if c := p.find(req); c != nil {
		c.notified(req)
	}
}

// onUpdate takes who is at the other end now (RFC 3325 P-Asserted-Identity in an UPDATE).
func (p *Phone) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	if c := p.find(req); c != nil {
		c.show(req)
	}
	respond(req, tx, sip.StatusOK, "OK")
}

func (p *Phone) find(req *sip.Request) *PhoneCall {
	if req.CallID() == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[req.CallID().Value()]
}

// enter makes the phone responsible for a call; false when it is closed. Every enter is followed by a leave.
func (p *Phone) enter(id string, c *PhoneCall) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.calls[id] = c
	p.running.Add(1)
	return true
}

func (p *Phone) leave(id string) {
	p.mu.Lock()
	delete(p.calls, id)
	p.mu.Unlock()
	p.running.Done()
}

// payloads are the payload types of the phone's codecs.
func (p *Phone) payloads() []uint8 {
	var out []uint8
	for _, c := range p.options.Codecs {
		out = append(out, payloadOf(c))
	}
	return slices.Compact(out)
}
