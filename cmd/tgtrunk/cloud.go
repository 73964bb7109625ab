package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

type cloudFlags struct {
	listen, key, users, state, turn, logLevel string
	noP2P                                     bool
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
		Relay: cloud.Relay{TURN: flags.turn != "", Listen: flags.turn}, Log: log,
	})
	if err != nil {
		return err
	}
	log.Info("simulated telegram", slog.String("address", server.Addr().String()), slog.Int("users", len(users)),
		slog.String("public_key", public))
	return server.Run(c.Context())
}
