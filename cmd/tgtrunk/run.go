package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/ari"
	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/config"
	"github.com/tgtrunk/tgtrunk/esl"
	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/store"
	"github.com/tgtrunk/tgtrunk/telegram"
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
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		log, err := newLogger(c.ErrOrStderr(), cfg.Log.Level, cfg.Log.Format)
		if err != nil {
			return err
		}
		return runService(c.Context(), cfg, log)
	}
	return c
}

// gcPercent halves the garbage a call leaves between two collections; the processor time of that is below what can be
// measured (docs/operations.md, "Size").
const gcPercent = 50

// runService builds every part from the configuration and runs them until ctx ends.
func runService(ctx context.Context, cfg *config.Config, log *slog.Logger) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	for _, w := range cfg.Table.Warnings() {
		log.Warn(w.Text, "file", cfg.Path, "line", w.Line)
	}
	keep, err := openStore(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keep.Close()) }()
	records, err := openRecords(cfg.Records.File, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	sockets, err := voip.ListenNet(voip.NetOptions{Listen: cfg.Telegram.Listen, Log: log})
	if err != nil {
		return err
	}
	defer sockets.Close()
	trunks, err := buildTrunks(cfg, keep, sockets, log)
	if err != nil {
		return err
	}

	wheel := media.NewWheel()
	exchange, err := bridge.New(cfg.Table, bridge.Options{
		Connect:  func(log *slog.Logger, a, b media.Flow) (func(), error) { return connectAudio(log, wheel, a, b) },
		Records:  records.write,
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

// openStore opens the store in the data directory.
func openStore(cfg *config.Config) (*store.File, error) {
	return store.OpenFile(filepath.Join(cfg.Data, "tgtrunk.db"))
}

func buildTrunks(cfg *config.Config, keep store.Store, sockets *voip.Net, log *slog.Logger) ([]bridge.Trunk, error) {
	var trunks []bridge.Trunk
	for _, a := range cfg.Accounts {
		account, err := newAccount(cfg, a, keep, sockets, log)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
		trunks = append(trunks, account)
	}
	for _, p := range cfg.PBX {
		link, err := newLink(p, log)
		if err != nil {
			return nil, fmt.Errorf("pbx %s: %w", p.Name, err)
		}
		trunks = append(trunks, link)
	}
	return trunks, nil
}

func newLink(p config.PBX, log *slog.Logger) (bridge.Trunk, error) {
	switch {
	case p.FreeSWITCH != nil:
		f := p.FreeSWITCH
		return esl.New(esl.Options{
			Name: p.Name, Address: f.Address, Password: f.Password.Reveal(), App: f.App,
			Verto:  esl.VertoOptions{URL: f.Verto.URL, Login: f.Verto.Login, Password: f.Verto.Password.Reveal()},
			Socket: esl.SocketOptions{Listen: f.Socket.Listen, Allow: f.Socket.Allow, Password: f.Socket.Password.Reveal()},
			Media: esl.MediaOptions{Listen: f.RTP.Listen, Advertise: f.RTP.Advertise, Codec: f.Codec,
				Unicast: esl.UnicastOptions{Off: !*f.Unicast}},
			RequestTimeout: f.Timeout, Log: log,
		})
	default:
		a := p.Asterisk
		return ari.New(ari.Options{
			Name: p.Name, URL: a.URL, Username: a.Username, Password: a.Password.Reveal(),
			App: a.App, Media: ari.MediaOptions{Listen: a.RTP.Listen, Advertise: a.RTP.Advertise},
			RequestTimeout: a.Timeout, Log: log,
		})
	}
}

func newAccount(cfg *config.Config, a config.Account, keep store.Store, sockets *voip.Net, log *slog.Logger) (*telegram.Account, error) {
	return telegram.New(telegram.Options{
		Name: a.Name, APIID: a.APIID, APIHash: a.APIHash.Reveal(), Phone: a.Phone, Store: keep,
		Server: telegram.Server{Addr: cfg.Telegram.Server.Address, PublicKey: cfg.Telegram.Server.Key, DC: cfg.Telegram.Server.DC},
		Calls:  telegram.CallMode(a.Calls), P2P: telegram.P2PMode(a.P2P),
		Limits: telegram.Limits{ReachedIn: a.ReachedIn, AnsweredIn: a.AnsweredIn, AnswerWithin: a.AnswerWithin},
		Net:    sockets, Log: log,
	})
}

// records appends a JSON line for every call to a file.
type records struct {
	log *slog.Logger

	mu   sync.Mutex
	file io.WriteCloser // nil: nothing is kept
}

func openRecords(path string, log *slog.Logger) (*records, error) {
	r := &records{log: log}
	if path == "" {
		return r, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open the call records: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open the call records: %w", err)
	}
	r.file = file
	return r, nil
}

func (r *records) write(record bridge.Record) {
	if r.file == nil {
		return
	}
	line, err := json.Marshal(record)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		r.log.Error("a call record is lost", "call", record.Call, "error", err)
	}
}

// Close closes the file.
func (r *records) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
