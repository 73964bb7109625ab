package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// FreeSWITCHOptions says how to run one FreeSWITCH. Everything but Dir has a default.
type FreeSWITCHOptions struct {
	Dir    string // run directory, made when missing; everything FreeSWITCH writes is in it
	Binary string // default: FindFreeSWITCH's

	// Config is a configuration directory to be run with as it is: its addresses and passwords are those of the
	// fields below, and nothing is written into it. Default: Dir/conf, generated, with the files of deploy/freeswitch.
	Config string

	EventSocketPort int    // TCP on loopback; 0 picks a free one
	VertoPort       int    // TCP on loopback; 0 picks a free one
	SIPPort         int    // UDP and TCP on loopback; 0 picks a free one
	Password        string // of the event socket; default random
	VertoPassword   string // default random

	PhoneContext  string        // dialplan context of every SIP call; default "to-telegram", of deploy/freeswitch
	Endpoints     []SIPEndpoint // phones, reached as user/NAME; their contexts and codecs are not looked at
	Dialplan      string        // more <context> elements
	Configuration string        // more <configuration> elements
	Modules       []string      // more modules to load
	NoVerto       bool          // mod_verto is not loaded
	Log           *slog.Logger  // default: none
}

// FreeSWITCH is a running FreeSWITCH. Its methods are safe for concurrent use.
type FreeSWITCH struct {
	options FreeSWITCHOptions // set once, ports filled in
	log     *slog.Logger
	rtp     PortRange // set by start before the process runs

	mu      sync.Mutex
	process *Process     // guarded by mu; never nil after StartFreeSWITCH
	claim   net.Listener // guarded by mu; of the RTP ports, while it runs
}

// ErrNoFreeSWITCH says that there is no FreeSWITCH on this machine.
var ErrNoFreeSWITCH = errors.New("there is no FreeSWITCH here: install FreeSWITCH 1.10 (signalwire.com, freeswitch.org/confluence) with mod_verto, " +
	"or name its program in the environment variable FREESWITCH")

// FindFreeSWITCH returns the program that the environment variable FREESWITCH names, or else freeswitch in PATH. It may
// be ErrNoFreeSWITCH.
func FindFreeSWITCH() (string, error) {
	if path := os.Getenv("FREESWITCH"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("environment variable FREESWITCH: %w", err)
		}
		return filepath.Abs(path)
	}
	path, err := exec.LookPath("freeswitch")
	if err != nil {
		return "", ErrNoFreeSWITCH
	}
	return filepath.Abs(path)
}

// StartFreeSWITCH writes a configuration below o.Dir, starts FreeSWITCH and returns when it serves the event socket, SIP
// and mod_verto. The context bounds the start only; Stop ends FreeSWITCH, and it dies with this process in any case. As
// root it runs unprivileged.
func StartFreeSWITCH(ctx context.Context, o FreeSWITCHOptions) (*FreeSWITCH, error) {
	f, err := newFreeSWITCH(o)
	if err != nil {
		return nil, fmt.Errorf("start freeswitch: %w", err)
	}
	if err := checkPorts(o.EventSocketPort, o.SIPPort); err != nil {
		return nil, fmt.Errorf("start freeswitch: %w", err)
	}
	err = onFreePorts(f.log, func() error {
		if err := f.pickPorts(o); err != nil {
			return err
		}
		return f.start(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("start freeswitch: %w", err)
	}
	return f, nil
}

func newFreeSWITCH(o FreeSWITCHOptions) (*FreeSWITCH, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Password = cmp.Or(o.Password, rand.Text())
	o.VertoPassword = cmp.Or(o.VertoPassword, rand.Text())
	o.PhoneContext = cmp.Or(o.PhoneContext, "to-telegram")
	if err := o.check(); err != nil {
		return nil, err
	}
	var err error
	if o.Binary == "" {
		if o.Binary, err = FindFreeSWITCH(); err != nil {
			return nil, err
		}
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if o.Config != "" {
		if o.Config, err = filepath.Abs(o.Config); err != nil {
			return nil, err
		}
	}
	return &FreeSWITCH{options: o, log: o.Log}, nil
}

func (f *FreeSWITCH) pickPorts(o FreeSWITCHOptions) error {
	for _, port := range []struct {
		asked int
		field *int
	}{{o.EventSocketPort, &f.options.EventSocketPort}, {o.VertoPort, &f.options.VertoPort}, {o.SIPPort, &f.options.SIPPort}} {
		*port.field = port.asked
		if port.asked != 0 {
			continue
		}
		var err error
		if *port.field, err = FreeTCPPort(); err != nil {
			return err
		}
	}
	return nil
}

// start writes the configuration, starts the process and waits until it serves. On error nothing is left running.
func (f *FreeSWITCH) start(ctx context.Context) (err error) {
	claim, ports, err := claimRTPRange()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = claim.Close()
		}
	}()
	f.rtp = ports
	if err := os.MkdirAll(f.options.Dir, 0o755); err != nil {
		return err
	}
	if f.options.Config == "" {
		if err := f.writeConfig(); err != nil {
			return err
		}
	}
	began := time.Now()
	p, err := f.startProcess()
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.process, f.claim = p, claim
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*bootDeadline)
	defer cancel()
	if err := f.waitServing(ctx, p); err != nil {
		p.Kill()
		return fmt.Errorf("%w; its last words: %s", err, f.lastWords())
	}
	f.log.Info("freeswitch is up", "pid", p.Pid(), "event_socket", f.ESLAddr(), "sip", f.SIPAddr(), "took", time.Since(began).Round(time.Millisecond))
	return nil
}

func (f *FreeSWITCH) startProcess() (*Process, error) {
	console, err := os.Create(filepath.Join(f.options.Dir, "console"))
	if err != nil {
		return nil, err
	}
	defer console.Close()
	args := []string{"-nf", "-nonat", "-np", "-conf", f.configDir()}
	for _, kind := range []string{"log", "db", "run", "temp", "recordings", "storage", "cache", "certs"} {
		dir := filepath.Join(f.options.Dir, kind)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		args = append(args, "-"+kind, dir)
	}
	cmd := exec.Command(f.options.Binary, args...) //nolint:noctx // it outlives every context
	cmd.Dir, cmd.Env = f.options.Dir, append(os.Environ(), "HOME="+f.options.Dir)
	cmd.Stdout, cmd.Stderr = console, console
	paths := []string{cmd.Path}
	if f.options.Config != "" {
		paths = append(paths, f.options.Config)
	}
	if err := unprivileged(cmd, f.options.Dir, paths...); err != nil {
		return nil, err
	}
	return StartProcess(cmd)
}

// waitServing returns nil when FreeSWITCH takes commands, SIP and the WebSocket of mod_verto.
func (f *FreeSWITCH) waitServing(ctx context.Context, p *Process) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f.serves(ctx)
		if err == nil || errors.Is(err, errPortTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it serves: %w: %w", ctx.Err(), err)
		case <-p.done:
			return fmt.Errorf("freeswitch ended while booting: %s", p.Status())
		case <-tick.C:
		}
	}
}

// serves says what is missing. Nobody but ours knows the password.
func (f *FreeSWITCH) serves(ctx context.Context) error {
	want := map[string]string{"status": "is ready"}
	if f.options.Config == "" {
		want["sofia status"] = "RUNNING"
	}
	if !f.options.NoVerto {
		want["verto status"] = "RUNNING"
	}
	for command, word := range want {
		out, err := f.API(ctx, command)
		if err != nil {
			return err
		}
		if !strings.Contains(out, word) {
			return fmt.Errorf("%s says %q", command, out)
		}
	}
	return nil
}

func (f *FreeSWITCH) lastWords() string {
	var words []string
	for _, path := range []string{filepath.Join(f.options.Dir, "console"), f.LogFile()} {
		text, err := os.ReadFile(path)
		if err != nil {
			words = append(words, err.Error())
			continue
		}
		const enough = 2000
		words = append(words, string(text[max(0, len(text)-enough):]))
	}
	return strings.Join(words, "\n")
}

func (f *FreeSWITCH) configDir() string {
	return cmp.Or(f.options.Config, filepath.Join(f.options.Dir, "conf"))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ESLAddr is the address of the event socket, host:port.
func (f *FreeSWITCH) ESLAddr() string { return loopback(f.options.EventSocketPort) }

func (f *FreeSWITCH) vertoAddr() string { return loopback(f.options.VertoPort) }

// VertoURL is where mod_verto is served, such as ws://127.0.0.1:8081.
func (f *FreeSWITCH) VertoURL() string { return "ws://" + f.vertoAddr() }

// SIPAddr is the address of the SIP profile "internal", host:port.
func (f *FreeSWITCH) SIPAddr() string { return loopback(f.options.SIPPort) }

// Password is that of the event socket.
func (f *FreeSWITCH) Password() string { return f.options.Password }

// VertoPassword is that of the user tgtrunk@tgtrunk.local of mod_verto.
func (f *FreeSWITCH) VertoPassword() string { return f.options.VertoPassword }

// LogFile is the path of the full log.
func (f *FreeSWITCH) LogFile() string { return filepath.Join(f.options.Dir, "log", "freeswitch.log") }

// Done is closed when the process that runs now has ended, whoever ended it. Restart makes a new one.
func (f *FreeSWITCH) Done() <-chan struct{} { return f.current().done }

// Pid is the process that runs, or ran last.
func (f *FreeSWITCH) Pid() int { return f.current().Pid() }

func (f *FreeSWITCH) current() *Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.process
}

// release gives the RTP ports back.
func (f *FreeSWITCH) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.claim.Close()
}

// Stop ends FreeSWITCH and returns when it has gone. A stopped one is left alone.
func (f *FreeSWITCH) Stop() {
	f.current().Stop(stopPatience)
	f.release()
}

// Kill ends FreeSWITCH as a crash would, and returns when it has gone.
func (f *FreeSWITCH) Kill() {
	f.current().Kill()
	f.release()
}

// Restart stops FreeSWITCH if it runs and starts it again, on the same ports but for those of RTP, and with the same
// configuration.
func (f *FreeSWITCH) Restart(ctx context.Context) error {
	f.Stop()
	if err := f.start(ctx); err != nil {
		return fmt.Errorf("restart freeswitch: %w", err)
	}
	return nil
}
