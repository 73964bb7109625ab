package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tgtrunk/tgtrunk/media"
	"github.com/tgtrunk/tgtrunk/telegram/voip"
	"github.com/tgtrunk/tgtrunk/telegram/voip/signaling"
)

type peerFlags struct {
	role, key, version string
	p2p                bool
	servers            []string
	parameters, listen string
	in, out            string
	duration           time.Duration
	logLevel           string
}

func newPeerCommand() *cobra.Command {
	var flags peerFlags
	c := &cobra.Command{
		Use:   "peer",
		Short: "Run one side of a Telegram call without Telegram: signalling on stdin and stdout",
		Long: `Run the bare call engine, one side of one call, to try it against another one.

Every line of input and output is a JSON object. {"signaling":"<hex>"} is a signalling packet, in both directions;
{"mute":true} tells the other side that we are silent; {"stop":true} or the end of input ends the call. Output also has {"event":"state","state":"connecting"}, then
established, reconnecting or failed, {"event":"peer","muted":true} and, last, {"event":"final",…} with the figures.
Lines with "event" may be fed to the other side: it skips them.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runPeer(c, flags) },
	}
	f := c.Flags()
	f.StringVar(&flags.role, "role", "", "caller or callee")
	f.StringVar(&flags.key, "key", "", "secret of the call, 512 hexadecimal digits")
	f.StringVar(&flags.version, "version", signaling.Versions()[0], "library version: "+strings.Join(slices.Concat(signaling.Versions(), signaling.ReferenceVersions()), ", "))
	f.BoolVar(&flags.p2p, "p2p", true, "allow direct connections; without it only relays are used")
	f.StringArrayVar(&flags.servers, "server", nil, `STUN or TURN server, repeatable: {"id":1,"host":"192.0.2.1","port":3478,"username":"u","password":"p","turn":true,"stun":false}; or a reflector: {"id":1,"host":"192.0.2.2","port":599,"peer_tag":"<32 hexadecimal digits>","tcp":false}`)
	f.StringVar(&flags.parameters, "custom-params", "", "custom_parameters of the call, JSON")
	f.StringVar(&flags.listen, "listen", "", "UDP address for direct connections (default: any port of every interface)")
	f.StringVar(&flags.in, "in", "", "what to send, over and over: a 16-bit mono WAV file, or tone:HZ; empty: nothing")
	f.StringVar(&flags.out, "out", "", "WAV file for what is received, 48 kHz mono 16-bit")
	f.DurationVar(&flags.duration, "duration", 0, "end after this long, counted from the start; 0: no limit")
	f.StringVar(&flags.logLevel, "log-level", "warn", "debug, info, warn or error; the log goes to stderr")
	// The only possible error is an unknown flag.
	_ = c.MarkFlagRequired("role")
	_ = c.MarkFlagRequired("key")
	return c
}

func runPeer(c *cobra.Command, flags peerFlags) error {
	config, err := peerConfig(c, flags)
	if err != nil {
		return err
	}
	source, err := openSource(flags.in)
	if err != nil {
		return err
	}
	var recording *recording
	if flags.out != "" {
		if recording, err = newRecording(); err != nil {
			return err
		}
	}
	n, err := voip.ListenNet(voip.NetOptions{Listen: flags.listen, Shards: 1, Log: config.Log})
	if err != nil {
		return err
	}
	defer n.Close()
	lines := &lineWriter{to: c.OutOrStdout()}
	config.Net, config.Send = n, lines.signaling
	engine, err := voip.New(config)
	if err != nil {
		return err
	}
	if recording != nil {
		engine.Flow().Attach(recording)
	}
	err = carryPeer(c, flags.duration, engine, source, lines)
	if recording != nil {
		err = errors.Join(err, recording.save(flags.out))
	}
	return errors.Join(err, lines.final(engine.Stats()))
}

// carryPeer runs the engine until it fails, the input ends or says so, or the time is up.
func carryPeer(c *cobra.Command, limit time.Duration, engine *voip.Engine, source *source, lines *lineWriter) error {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	// A read from the terminal cannot be interrupted: this goroutine may outlive the call and ends with the process.
	go func() {
		defer cancel()
		readLines(c.InOrStdin(), c.ErrOrStderr(), engine)
	}()
	established := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() { source.play(ctx, established, engine.Flow()) })
	group.Go(func() { lines.events(engine.Events(), established) })
	err := engine.Run(ctx)
	cancel()
	group.Wait()
	return err
}

func peerConfig(c *cobra.Command, flags peerFlags) (voip.Config, error) {
	log, err := newLogger(c.ErrOrStderr(), flags.logLevel, "text")
	if err != nil {
		return voip.Config{}, err
	}
	config := voip.Config{Version: flags.version, P2P: flags.p2p, CustomParameters: flags.parameters, Log: log, Key: new(voip.Key)}
	switch flags.role {
	case "caller":
		config.Role = signaling.Caller
	case "callee":
		config.Role = signaling.Callee
	default:
		return config, fmt.Errorf("--role %q: want caller or callee", flags.role)
	}
	key, err := hex.DecodeString(flags.key)
	if err != nil || len(key) != len(config.Key) {
		return config, fmt.Errorf("--key: want %d hexadecimal digits", 2*len(config.Key))
	}
	copy(config.Key[:], key)
	for _, text := range flags.servers {
		var s voip.Server
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			return config, fmt.Errorf("--server %s: %w", text, err)
		}
		if s.Host == "" || s.Port <= 0 || s.Port > 65535 {
			return config, fmt.Errorf("--server %s: host and port are needed", text)
		}
		config.Servers = append(config.Servers, s)
	}
	return config, nil
}

// lineWriter writes JSON lines from several goroutines.
type lineWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *lineWriter) put(line any) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("print line: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.to.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("print line: %w", err)
	}
	return nil
}

func (w *lineWriter) signaling(packet []byte) error {
	return w.put(packetLine{hex.EncodeToString(packet)})
}

// events prints events until there are no more, and closes established at the first such state.
func (w *lineWriter) events(events <-chan voip.Event, established chan<- struct{}) {
	up := false
	for ev := range events {
		switch ev := ev.(type) {
		case voip.StateChanged:
			if ev.State == voip.Established && !up {
				up = true
				close(established)
			}
			_ = w.put(stateLine{"state", ev.State.String()})
		case voip.PeerMediaState:
			_ = w.put(mediaLine{"peer", ev.Muted, ev.LowBattery, ev.Video})
		}
	}
}

type packetLine struct {
	Signaling string `json:"signaling"`
}

type stateLine struct {
	Event string `json:"event"`
	State string `json:"state"`
}

type mediaLine struct {
	Event      string `json:"event"`
	Muted      bool   `json:"muted"`
	LowBattery bool   `json:"low_battery"`
	Video      bool   `json:"video"`
}

// finalLine is the last line of output. Times are milliseconds since the start, -1 for what never came.
type finalLine struct {
	Event       string           `json:"event"`
	State       string           `json:"state"`
	Version     string           `json:"version"`
	Local       string           `json:"local"`
	Remote      string           `json:"remote"`
	SRTPProfile string           `json:"srtp_profile"`
	Media       finalMedia       `json:"media"`
	Signaling   finalSignaling   `json:"signaling"`
	Drops       voip.Drops       `json:"drops"`
	Timings     map[string]int64 `json:"timings_ms"`
}

type finalMedia struct {
	PacketsReceived uint64  `json:"packets_received"`
	PacketsSent     uint64  `json:"packets_sent"`
	PacketsLost     uint64  `json:"packets_lost"`
	PacketsLate     uint64  `json:"packets_late"`
	PaddingOnly     uint64  `json:"padding_only"`
	Strangers       uint64  `json:"strangers"`
	JitterMS        float64 `json:"jitter_ms"`
	RoundTripMS     float64 `json:"round_trip_ms"`
	RemoteLoss      float64 `json:"remote_loss"`
}

type finalSignaling struct {
	MessagesSent     uint64 `json:"messages_sent"`
	MessagesReceived uint64 `json:"messages_received"`
	PacketsSent      uint64 `json:"packets_sent"`
	PacketsReceived  uint64 `json:"packets_received"`
	Resent           uint64 `json:"resent"`
	Repeated         uint64 `json:"repeated"`
}

func (w *lineWriter) final(s voip.Stats) error {
	since := func(t time.Time) int64 {
		if t.IsZero() {
			return -1
		}
		return t.Sub(s.Timings.Started).Milliseconds()
	}
	return w.put(finalLine{
		Event: "final", State: s.State.String(), Version: s.Version, Local: s.Local, Remote: s.Remote, SRTPProfile: s.SRTPProfile,
		Media: mediaFigures(s.Media),
		Signaling: finalSignaling{
			MessagesSent: s.Signaling.MessagesSent, MessagesReceived: s.Signaling.MessagesReceived,
			PacketsSent: s.Signaling.PacketsSent, PacketsReceived: s.Signaling.PacketsReceived,
			Resent: s.Signaling.Resent, Repeated: s.Signaling.Repeated,
		},
		Drops: s.Drops,
		Timings: map[string]int64{
			"signaling": since(s.Timings.Signaling), "ice": since(s.Timings.ICE), "dtls": since(s.Timings.DTLS),
			"first_in": since(s.Timings.FirstIn), "first_out": since(s.Timings.FirstOut),
		},
	})
}

func mediaFigures(s media.Stats) finalMedia {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return finalMedia{
		PacketsReceived: s.PacketsReceived, PacketsSent: s.PacketsSent, PacketsLost: s.PacketsLost, PacketsLate: s.PacketsLate,
		PaddingOnly: s.PaddingOnly, Strangers: s.Strangers,
		JitterMS: ms(s.Jitter), RoundTripMS: ms(s.RoundTrip), RemoteLoss: s.RemoteLoss,
	}
}
