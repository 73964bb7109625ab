package cloud

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"github.com/gotd/td/tg"
	"github.com/pion/logging"
	"github.com/pion/turn/v5"
)

const turnRealm = "telegram"

// credentials of one call at the TURN server; zero: none.
type credentials struct{ user, password string }

// turnServer is the STUN and TURN server that calls are given. Its users are the calls that are active. Nil: none.
type turnServer struct {
	conn   net.PacketConn
	public netip.AddrPort
	log    *slog.Logger

	mu    sync.Mutex
	users map[string]string // password by user name
}

func newTURN(o Relay, log *slog.Logger) (*turnServer, error) {
	conn, err := net.ListenPacket("udp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for turn: %w", err)
	}
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &turnServer{conn: conn, public: publicAddr(o.Public, at), log: log, users: map[string]string{}}, nil
}

// run serves until ctx ends.
func (t *turnServer) run(ctx context.Context) error {
	if t == nil {
		<-ctx.Done()
		return nil
	}
	listen := t.conn.LocalAddr().(*net.UDPAddr).IP.String()
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: turnRealm, AuthHandler: t.auth, LoggerFactory: turnLog{t.log},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            t.conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: t.public.Addr().AsSlice(), Address: listen},
		}},
	})
	if err != nil {
		return fmt.Errorf("start turn: %w", err)
	}
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return fmt.Errorf("stop turn: %w", err)
	}
	return nil
}

// close closes the socket of a server that is not run.
func (t *turnServer) close() error {
	if t == nil {
		return nil
	}
	return t.conn.Close()
}

func (t *turnServer) auth(ra *turn.RequestAttributes) (string, []byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	password, ok := t.users[ra.Username]
	if !ok {
		return "", nil, false
	}
	return ra.Username, turn.GenerateAuthKey(ra.Username, turnRealm, password), true
}

// grant makes credentials for a call and the servers to tell it of.
func (t *turnServer) grant(call int64) (credentials, []tg.PhoneConnectionClass) {
	if t == nil {
		return credentials{}, []tg.PhoneConnectionClass{}
	}
	secret := make([]byte, 12)
	if _, err := rand.Read(secret); err != nil {
		t.log.Error("generate turn password", "err", err)
		return credentials{}, []tg.PhoneConnectionClass{}
	}
	c := credentials{user: strconv.FormatUint(uint64(call), 36), password: hex.EncodeToString(secret)}
	t.mu.Lock()
	t.users[c.user] = c.password
	t.mu.Unlock()
	server := &tg.PhoneConnectionWebrtc{Turn: true, Stun: true, ID: 1, Port: int(t.public.Port()), Username: c.user, Password: c.password}
	if t.public.Addr().Is4() {
		server.IP = t.public.Addr().String()
	} else {
		server.Ipv6 = t.public.Addr().String()
	}
	return c, []tg.PhoneConnectionClass{server}
}

// forget ends the credentials of a call: no allocation is made or refreshed with them any more.
func (t *turnServer) forget(c credentials) {
	if t == nil {
		return
	}
	t.mu.Lock()
	delete(t.users, c.user)
	t.mu.Unlock()
}

// turnLog gives pion's log lines to slog, at debug level only: the server sees every stray packet.
type turnLog struct{ log *slog.Logger }

func (l turnLog) NewLogger(string) logging.LeveledLogger { return l }

func (l turnLog) Trace(string)              {}
func (l turnLog) Tracef(string, ...any)     {}
func (l turnLog) Debug(string)              {}
func (l turnLog) Debugf(string, ...any)     {}
func (l turnLog) Info(m string)             { l.log.Debug("turn: " + m) }
func (l turnLog) Infof(f string, a ...any)  { l.log.Debug("turn: " + fmt.Sprintf(f, a...)) }
func (l turnLog) Warn(m string)             { l.log.Debug("turn: " + m) }
func (l turnLog) Warnf(f string, a ...any)  { l.log.Debug("turn: " + fmt.Sprintf(f, a...)) }
func (l turnLog) Error(m string)            { l.log.Debug("turn: " + m) }
func (l turnLog) Errorf(f string, a ...any) { l.log.Debug("turn: " + fmt.Sprintf(f, a...)) }
