package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bootDeadline = 30 * time.Second // a boot takes about a second; the machine may be busy
	stopPatience = 5 * time.Second  // between asking Asterisk to stop and killing it
	pingDeadline = 3 * time.Second  // for an HTTP answer: whoever is silent that long is not our Asterisk
	cliDeadline  = 10 * time.Second // for one command when the caller's context has none
)

// SIPEndpoint is a phone Asterisk knows: a static contact on loopback that does not register. Calls from it are
// recognised by the header that Phone sends, so its caller number is free.
type SIPEndpoint struct {
	Name        string   // of the endpoint and of the contact's user part: PJSIP/Name
	Context     string   // dialplan context of its calls; default "phones", which includes the lab's test extensions
	ContactPort int      // UDP port on loopback
	Codecs      []string // Asterisk's names in order of preference; default ulaw, alaw
}

// AsteriskOptions says how to run one Asterisk. Everything but Dir has a default.
type AsteriskOptions struct {
	Dir         string            // run directory, made when missing; everything Asterisk writes is in it
	Prefix      string            // of an installation; default: InstallAsterisk's
	HTTPPort    int               // of ARI on loopback; 0 picks a free one
	SIPPort     int               // UDP on loopback; 0 picks a free one
	RTP         PortRange         // zero picks one
	Dialplan    string            // extra text of extensions.conf; it begins in the context phones
	Endpoints   []SIPEndpoint     // phones
	PJSIP       string            // extra text of pjsip.conf; the template "phone" is there
	ARIUser     string            // default "tgtrunk"
	ARIPassword string            // default random
	ChannelVars []string          // variables that ARI puts into every channel
	Files       map[string]string // more files of the configuration directory, by name; they replace ours
	Log         *slog.Logger      // default: none
}

// Asterisk is a running Asterisk. Its methods are safe for concurrent use.
type Asterisk struct {
	options AsteriskOptions // set once, ports filled in
	prefix  string
	log     *slog.Logger

	mu      sync.Mutex
	process *Process // guarded by mu; never nil after StartAsterisk
}

// StartAsterisk installs Asterisk when it is missing, writes its configuration below o.Dir, starts it and returns when
// it is fully booted and answers ARI. The context bounds the start only; Stop ends Asterisk, and it dies with this
// process in any case. As root it runs unprivileged.
func StartAsterisk(ctx context.Context, o AsteriskOptions) (*Asterisk, error) {
	a, err := newAsterisk(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start asterisk: %w", err)
	}
	if err := checkPorts(o.HTTPPort, o.SIPPort); err != nil {
		return nil, fmt.Errorf("start asterisk: %w", err)
	}
	err = onFreePorts(a.log, func() error {
		if err := a.pickPorts(o); err != nil {
			return err
		}
		return a.start(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("start asterisk: %w", err)
	}
	return a, nil
}

func newAsterisk(ctx context.Context, o AsteriskOptions) (*Asterisk, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ARIUser == "" {
		o.ARIUser = "tgtrunk"
	}
	if o.ARIPassword == "" {
		o.ARIPassword = rand.Text()
	}
	endpoints := make([]SIPEndpoint, 0, len(o.Endpoints))
	for _, e := range o.Endpoints {
		if e.Context == "" {
			e.Context = "phones"
		}
		if len(e.Codecs) == 0 {
			e.Codecs = []string{"ulaw", "alaw"}
		}
		endpoints = append(endpoints, e)
	}
	o.Endpoints = endpoints
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	a := &Asterisk{options: o, prefix: o.Prefix, log: o.Log}
	if a.prefix == "" {
		if a.prefix, err = InstallAsterisk(ctx, progressLog{o.Log}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// progressLog writes the lines of the installation to a log.
type progressLog struct{ log *slog.Logger }

func (p progressLog) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		p.log.Info(strings.TrimSpace(line))
	}
	return len(b), nil
}

func (a *Asterisk) pickPorts(o AsteriskOptions) (err error) {
	a.options.HTTPPort, a.options.SIPPort, a.options.RTP = o.HTTPPort, o.SIPPort, o.RTP
	if o.HTTPPort == 0 {
		if a.options.HTTPPort, err = FreeTCPPort(); err != nil {
			return err
		}
	}
	if o.SIPPort == 0 {
		if a.options.SIPPort, err = FreeUDPPort(); err != nil {
			return err
		}
	}
	if o.RTP == (PortRange{}) {
		a.options.RTP = freeRTPRange()
	}
	return nil
}

// errPortTaken says that Asterisk booted without one of its ports.
var errPortTaken = errors.New("port is taken")

// start writes the configuration, starts the process and waits until it serves. On error nothing is left running.
func (a *Asterisk) start(ctx context.Context) error {
	if err := writeConfig(a.prefix, a.options); err != nil {
		return err
	}
	console, err := os.Create(filepath.Join(a.options.Dir, "console"))
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := a.command("-f", "-n")
	cmd.Stdout, cmd.Stderr = console, console
	if err := unprivileged(cmd, a.options.Dir, cmd.Path, a.prefix); err != nil {
		return err
	}
	began := time.Now()
	p, err := StartProcess(cmd)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.process = p
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bootDeadline)
	defer cancel()
	if err := a.waitBooted(ctx, p); err != nil {
		p.Kill()
		return fmt.Errorf("%w; the console said: %s", err, a.consoleTail())
	}
	a.log.Info("asterisk is up", "pid", p.cmd.Process.Pid, "ari", a.ARIURL(), "sip", a.SIPAddr(),
		"took", time.Since(began).Round(time.Millisecond))
	return nil
}

// waitBooted returns nil when Asterisk is fully booted and serves both ports.
func (a *Asterisk) waitBooted(ctx context.Context, p *Process) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := a.CLI(ctx, "core waitfullybooted")
		if err == nil && strings.Contains(out, "fully booted") {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until booted: %w", ctx.Err())
		case <-p.done:
			return fmt.Errorf("asterisk ended while booting: %s", p.Status())
		case <-tick.C:
		}
	}
	out, err := a.CLI(ctx, "pjsip show transports")
	if err != nil {
		return err
	}
	if !strings.Contains(out, a.SIPAddr()) {
		return fmt.Errorf("sip on %s: %w", a.SIPAddr(), errPortTaken)
	}
	return a.pingARI(ctx)
}

// pingARI proves that the HTTP port is ours: nobody else knows the password.
func (a *Asterisk) pingARI(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.ARIURL()+"/asterisk/ping", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(a.options.ARIUser, a.options.ARIPassword)
	req.Close = true
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ari on %s: %w: %w", a.ARIURL(), errPortTaken, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ari on %s answers %s: %w", a.ARIURL(), resp.Status, errPortTaken)
	}
	return nil
}

func (a *Asterisk) command(args ...string) *exec.Cmd {
	return a.commandContext(context.Background(), args...)
}

func (a *Asterisk) commandContext(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"-C", filepath.Join(a.options.Dir, "etc", "asterisk.conf")}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(a.prefix, "bin", "asterisk"), args...)
	cmd.Dir = a.options.Dir
	cmd.Env = append(os.Environ(), "HOME="+a.options.Dir)
	return cmd
}

func (a *Asterisk) consoleTail() string {
	text, err := os.ReadFile(filepath.Join(a.options.Dir, "console"))
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	return string(text[max(0, len(text)-enough):])
}

// ARIURL is where ARI is served, such as http://127.0.0.1:8088/ari.
func (a *Asterisk) ARIURL() string { return "http://" + a.HTTPAddr() + "/ari" }

// HTTPAddr is the address of the HTTP server, host:port.
func (a *Asterisk) HTTPAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.options.HTTPPort))
}

// ARIUser is the name for ARI.
func (a *Asterisk) ARIUser() string { return a.options.ARIUser }

// ARIPassword is the password for ARI.
func (a *Asterisk) ARIPassword() string { return a.options.ARIPassword }

// SIPAddr is the address of the SIP transport, host:port over UDP.
func (a *Asterisk) SIPAddr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.options.SIPPort))
}

// LogFile is the path of the full log.
func (a *Asterisk) LogFile() string { return filepath.Join(a.options.Dir, "log", "full.log") }

// CLI runs one command of Asterisk's command line and returns its output. Without a deadline in ctx it takes ten
// seconds at most.
func (a *Asterisk) CLI(ctx context.Context, command string) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cliDeadline)
		defer cancel()
	}
	cmd := a.commandContext(ctx, "-rx", command)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asterisk command %q: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	if strings.HasPrefix(string(out), "No such command") {
		return "", fmt.Errorf("asterisk command %q: no such command", command)
	}
	return string(out), nil
}

// Channels returns the number of channels there are.
func (a *Asterisk) Channels(ctx context.Context) (int, error) {
	out, err := a.CLI(ctx, "core show channels count")
	if err != nil {
		return 0, err
	}
	var n int
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(line, "%d active channel", &n); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("count channels: unexpected answer %q", out)
}

// WaitChannels waits until there are n channels or ctx ends; then the error says how many there are.
func (a *Asterisk) WaitChannels(ctx context.Context, n int) error {
	return waitChannels(ctx, n, a.Channels)
}

func waitChannels(ctx context.Context, n int, channels func(context.Context) (int, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	have := -1
	for {
		count, err := channels(ctx)
		if err == nil && count == n {
			return nil
		}
		if err == nil {
			have = count
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d channels, there are %d: %w", n, have, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// Done is closed when the process that runs now has ended, whoever ended it. Restart makes a new one.
func (a *Asterisk) Done() <-chan struct{} { return a.current().done }

// Pid is the process that runs, or ran last.
func (a *Asterisk) Pid() int { return a.current().Pid() }

func (a *Asterisk) current() *Process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.process
}

// Stop ends Asterisk and returns when it has gone. A stopped one is left alone.
func (a *Asterisk) Stop() { a.current().Stop(stopPatience) }

// Kill ends Asterisk as a crash would, and returns when it has gone.
func (a *Asterisk) Kill() { a.current().Kill() }

// Restart stops Asterisk if it runs and starts it again, on the same ports and with the same configuration.
func (a *Asterisk) Restart(ctx context.Context) error {
	a.Stop()
	if err := a.start(ctx); err != nil {
		return fmt.Errorf("restart asterisk: %w", err)
	}
	return nil
}

// WriteLogTail writes the last n bytes of the log to w, for the report of a failed test.
func (a *Asterisk) WriteLogTail(w io.Writer, n int64) error {
	f, err := os.Open(a.LogFile())
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(f, max(0, info.Size()-n), n))
	return err
}
