package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/bridge/pbx"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/routing/memory"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
	"github.com/tgtrunk/tgtrunk/telegram/chat"
	"github.com/tgtrunk/tgtrunk/telegram/guard"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
)

func newRunCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the service: carry calls between the PBX and Telegram until SIGTERM",
		Args:  cobra.NoArgs,
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		// Before anything that takes its time: logrotate does not ask whether the service is up, and what is not caught kills it.
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		log, err := newLogger(c.ErrOrStderr(), cfg.Log.Level, cfg.Log.Format)
		if err != nil {
			return err
		}
		return runService(c.Context(), cfg, hangups, log)
	}
	return c
}

// gcPercent bounds the garbage that calls leave between two collections. A call leaves it while it is set up, and then none:
// with 50 the process is a third larger, and what 25 takes of the processor cannot be measured (docs/operations.md, "Size").
const gcPercent = 25

// runService builds every part from the configuration and runs them until ctx ends. What comes from hangups makes the file of
// records be opened anew.
func runService(ctx context.Context, cfg *config.Config, hangups <-chan os.Signal, log *slog.Logger) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	for _, w := range cfg.Table.Warnings() {
		log.Warn(w.Text, "file", cfg.Path, "line", w.Line)
	}
	keep, err := openStore(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keep.Close()) }()
	reports, err := openReports(cfg, keep, log)
	if err != nil {
		return err
	}
	defer reports.close()
	sockets, err := voip.ListenNet(voip.NetOptions{Listen: cfg.Telegram.Listen, Log: log})
	if err != nil {
		return fmt.Errorf("telegram.listen %s: %w", cfg.Telegram.Listen, err)
	}
	defer sockets.Close()
	log.Info("sockets for the audio of direct calls", "udp", sockets.Addresses())
	trunks, err := buildTrunks(cfg, keep, sockets, reports.message, log)
	if err != nil {
		return err
	}
	reports.know(trunks)
	figures, err := openMetrics(cfg.Metrics.Listen, trunks, reports, log)
	if err != nil {
		return err
	}
	defer figures.close()
	wheel := media.NewWheel()
	exchange, err := bridge.New(cfg.Table, bridge.Options{
		Connect:  func(log *slog.Logger, a, b media.Flow) (func(), error) { return connectAudio(log, wheel, a, b) },
		Records:  func(r bridge.Record) { figures.record(r); reports.ended(r) },
		Watch:    reports.edge,
		Memory:   memory.New(memory.Options{Store: keep, Log: log}),
		Logger:   log,
		MaxCalls: cfg.Limits.Calls,
	})
	if err != nil {
		return err
	}
	// The wheel turns until the last call has gone.
	turning, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = wheel.Run(turning) })
	running.Go(func() { figures.serve(turning, exchange) })
	running.Go(func() { reports.run(turning, hangups) })
	log.Info("tgtrunk runs", "version", version, "accounts", len(cfg.Accounts), "pbx", len(cfg.PBX), "routes", len(cfg.Routes))
	err = exchange.Run(ctx, trunks...)
	log.Info("tgtrunk ends")
	return err
}

// connectAudio joins the audio of two legs; at the end it logs what the conversion did.
func connectAudio(log *slog.Logger, wheel *media.Wheel, a, b media.Flow) (stop func(), err error) {
	connection, err := media.Connect(a, b, media.Options{Wheel: wheel, Log: log})
	if err != nil {
		return nil, err
	}
	return func() {
		connection.Stop()
		stats := connection.Stats()
		for _, direction := range []media.DirectionStats{stats.AtoB, stats.BtoA} {
			log.Info("audio ended", "conversion", direction.Conversion, "packets_in", direction.PacketsIn,
				"packets_out", direction.PacketsOut, "concealed", direction.Concealed, "late", direction.Late,
				"dropped", direction.Stale+direction.Malformed,
				"latency_p50", direction.Latency.P50, "latency_p99", direction.Latency.P99)
		}
	}, nil
}

// buildTrunks makes the accounts, whose messages go to heard, and the links.
func buildTrunks(
	cfg *config.Config, keep store.Store, sockets *voip.Net, heard func(telegram.Message), log *slog.Logger,
) ([]bridge.Trunk, error) {
	var trunks []bridge.Trunk
	for _, a := range cfg.Accounts {
		account, err := newAccount(cfg, a, keep, sockets, heard, log)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
		trunks = append(trunks, account)
	}
	for _, p := range cfg.PBX {
		link, err := newLink(p, cfg.Table.Variables(p.Name), log)
		if err != nil {
			return nil, fmt.Errorf("pbx %s: %w", p.Name, err)
		}
		trunks = append(trunks, link)
	}
	return trunks, nil
}

// newLink makes the trunk of a PBX; variables are those of its channels that routes ask for.
func newLink(p config.PBX, variables []string, log *slog.Logger) (bridge.Trunk, error) {
	switch {
	case p.FreeSWITCH != nil:
		f := p.FreeSWITCH
		return esl.New(esl.Options{
			Name: p.Name, Address: f.Address, Password: f.Password.Reveal(), App: f.App,
			Verto:  esl.VertoOptions{URL: f.Verto.URL, Login: f.Verto.Login, Password: f.Verto.Password.Reveal()},
			Socket: esl.SocketOptions{Listen: f.Socket.Listen, Allow: f.Socket.Allow, Password: f.Socket.Password.Reveal()},
			Media: esl.MediaOptions{Listen: f.RTP.Listen, Advertise: f.RTP.Advertise, Codec: f.Codec,
				Unicast: esl.UnicastOptions{Off: !*f.Unicast}},
			Ringback: pbx.Ringback(f.Ringback), RequestTimeout: f.Timeout, Variables: variables, Log: log,
		})
	default:
		a := p.Asterisk
		return ari.New(ari.Options{
			Name: p.Name, URL: a.URL, Username: a.Username, Password: a.Password.Reveal(),
			App: a.App, Media: ari.MediaOptions{Listen: a.RTP.Listen, Advertise: a.RTP.Advertise},
			Ringback: pbx.Ringback(a.Ringback), RequestTimeout: a.Timeout, Variables: variables, Log: log,
		})
	}
}

func newAccount(
	cfg *config.Config, a config.Account, keep store.Store, sockets *voip.Net, heard func(telegram.Message), log *slog.Logger,
) (*telegram.Account, error) {
	options, err := accountOptions(cfg, a)
	if err != nil {
		return nil, err
	}
	options.Store, options.Net, options.Messages, options.Log = keep, sockets, heard, log
	return telegram.New(options)
}

// accountOptions are an account's options as far as the configuration says them.
func accountOptions(cfg *config.Config, a config.Account) (o telegram.Options, err error) {
	prefer, err := voip.ParsePreference(a.Prefer)
	if err != nil {
		return o, err
	}
	var desk *chat.Desk
	if a.Chat != nil {
		desk = a.Chat.Desk
	}
	return telegram.Options{
		Name: a.Name, APIID: a.APIID, APIHash: a.APIHash.Reveal(), Phone: a.Phone, Lease: cfg.Store.Lease,
		Server: telegram.Server{Addr: cfg.Telegram.Server.Address, PublicKey: cfg.Telegram.Server.Key, DC: cfg.Telegram.Server.DC},
		Calls: telegram.Calls{
			Mode: telegram.CallMode(a.Calls), Most: a.MaxCalls, P2P: telegram.P2PMode(a.P2P), Reference: a.Reference,
			Prefer: prefer, PBX: codecOfPBX(cfg, a.Name),
			Limits: telegram.Limits{ReachedIn: a.ReachedIn, AnsweredIn: a.AnsweredIn, AnswerWithin: a.AnswerWithin},
		},
		Privacy: telegram.PrivacyPreset(a.Privacy),
		Lookups: telegram.Lookups{Found: cfg.Lookups.FoundFor, Missing: cfg.Lookups.MissingFor, NoDialog: cfg.Lookups.NoDialogFor},
		Guard:   guardLimits(a.Guard.Guard), NoImport: !a.Guard.ImportContacts,
		Chat: desk,
	}, nil
}

// codecOfPBX is what the PBX's side of an account's calls speaks, for the choice of the other side's codec; 0 where that is
// not G.711, or not always. The link picks the channel's law later: from one law to the other is a table.
func codecOfPBX(cfg *config.Config, account string) media.Codec {
	if cfg.SpeaksG711(account) {
		return media.PCMU
	}
	return 0
}

func guardLimits(g config.Guard) *guard.Limits {
	s := g.Strangers
	return &guard.Limits{
		Retry: g.Retry, PeerFlood: s.PeerFlood, Private: g.PrivateFor, PerDay: s.PerDay, PerCaller: s.PerExtension, WarmUp: s.WarmUp, Gap: s.Gap,
		Breaker: guard.Breaker{Declines: s.Declines.Count, Within: s.Declines.Within, Pause: s.Declines.Pause},
		Pace:    guard.Pace{Calls: g.Pace.Calls, Per: g.Pace.Per},
	}
}
