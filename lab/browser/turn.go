package browser

import (
	"fmt"
	"net"

	"github.com/pion/turn/v5"

	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

// StartTURN runs a TURN server on loopback until stop is called, which reports how it ended.
func StartTURN() (at voip.Server, stop func() error, err error) {
	const user, password, realm = "user", "secret", "tgtrunk"
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return at, nil, fmt.Errorf("start turn server: %w", err)
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(r *turn.RequestAttributes) (string, []byte, bool) {
			return r.Username, turn.GenerateAuthKey(r.Username, realm, password), r.Username == user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn:            conn,
			RelayAddressGenerator: &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"},
		}},
	})
	if err != nil {
		_ = conn.Close()
		return at, nil, fmt.Errorf("start turn server: %w", err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	return voip.Server{ID: 1, Host: "127.0.0.1", Port: port, Username: user, Password: password, TURN: true}, server.Close, nil
}
