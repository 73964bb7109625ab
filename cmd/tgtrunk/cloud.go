package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/telegram/cloud"
	"github.com/tgtrunk/tgtrunk/telegram/cloud/phone"
)

type cloudFlags struct {
	listen, key, users, state, turn, reflector, logLevel string
	noP2P                                                bool
	answering                                            []string
}

func newCloudCommand() *cobra.Command {
	var flags cloudFlags
	c := &cobra.Command{
		Use:   "cloud",
		Short: "Run a simulated Telegram: an MTProto server with users who can log in, write and call",
		Long: `Run a simulated Telegram that gotd's client and the official client library can log in to and call on.

Clients need its address and the public half of its key, which is written beside the key with the ending .pub.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runCloud(c, flags) },
	}
	f := c.Flags()
	f.StringVar(&flags.listen, "listen", "127.0.0.1:8443", "TCP address to listen on")
	f.StringVar(&flags.key, "key", "rsa.pem", "RSA key of the server, PEM; created when it is missing")
	f.StringVar(&flags.users, "users", "users.yaml", "the accounts: a list users: of {id, phone, username, first_name, last_name, code, password}")
	f.StringVar(&flags.state, "state", "", "file that keeps logins over restarts (default: beside the key, with the ending .state)")
	f.StringVar(&flags.turn, "turn", "127.0.0.1:0", "UDP address of the STUN and TURN server given to calls; empty: none")
	f.StringVar(&flags.reflector, "reflector", "127.0.0.1:0", "address of the reflector given to calls, UDP and TCP; empty: none")
	f.StringSliceVar(&flags.answering, "answering", nil, "usernames whose phones are on: they answer every call and play a tone")
	f.BoolVar(&flags.noP2P, "no-p2p", false, "never allow direct calls")
	f.StringVar(&flags.logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func runCloud(c *cobra.Command, flags cloudFlags) error {
	log, err := newLogger(c.ErrOrStderr(), flags.logLevel, "text")
	if err != nil {
		return err
	}
	users, err := cloud.LoadUsers(flags.users)
	if err != nil {
		return err
	}
	key, err := cloud.LoadKey(flags.key)
	if err != nil {
		return err
	}
	public := flags.key + ".pub"
	if err := os.WriteFile(public, cloud.PublicPEM(&key.PublicKey), 0o644); err != nil {
		return fmt.Errorf("write the public key: %w", err)
	}
	if flags.state == "" {
		flags.state = flags.key + ".state"
	}
	server, err := cloud.New(cloud.Options{
		Listen: flags.listen, Key: key, Users: users, AuthKeys: cloud.FileKeys(flags.state), NoP2P: flags.noP2P,
		Relay: cloud.Relay{TURN: flags.turn != "", Listen: flags.turn, Reflector: flags.reflector != "", ReflectorListen: flags.reflector},
		Log:   log,
	})
	if err != nil {
		return err
	}
	log.Info("simulated telegram", slog.String("address", server.Addr().String()), slog.Int("users", len(users)),
		slog.String("public_key", public))
	phones, err := answeringPhones(server, users, flags.answering, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, p := range phones {
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				log.Error("a phone is off", "username", p.User().Username, "error", err)
			}
		})
	}
	return server.Run(ctx)
}

// answeringPhones makes the phones of users that answer every call after a moment and play a tone.
func answeringPhones(server *cloud.Server, users []cloud.User, usernames []string, log *slog.Logger) ([]*phone.Phone, error) {
	voice, err := phone.Tone(440)
	if err != nil {
		return nil, err
	}
	var phones []*phone.Phone
	for _, username := range usernames {
		i := slices.IndexFunc(users, func(u cloud.User) bool { return strings.EqualFold(u.Username, username) })
		if i < 0 {
			return nil, fmt.Errorf("--answering %s: no user has this username", username)
		}
		p, err := phone.New(phone.Options{
			Server: loopback(server.Addr()), Key: server.PublicKey(), DC: server.DC(), User: users[i], Log: log,
		})
		if err != nil {
			return nil, fmt.Errorf("--answering %s: %w", username, err)
		}
		p.Behave(phone.Behaviour{After: time.Second, Voice: voice})
		phones = append(phones, p)
	}
	return phones, nil
}

// loopback is where a server that may listen on every address is reached from its own process.
func loopback(a *net.TCPAddr) netip.AddrPort {
	if a.IP.IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(a.Port))
	}
	return a.AddrPort()
}
