package browser

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"

	"github.com/tgtrunk/tgtrunk/lab"
)

// ErrNotInstalled says that there is no Chromium on this machine.
var ErrNotInstalled = errors.New("chromium is not installed: apt-get install chromium, or make deps")

// Find returns the path of Chromium. The error is ErrNotInstalled.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNotInstalled
}

// chromium is a running browser with a profile of its own.
type chromium struct {
	process *lab.Process
	profile string
	log     *tail
}

// flags make a browser that shows nothing, asks nothing, calls nobody and finds candidates on loopback.
func flags() []string {
	return []string{
		"--headless=new",
		"--no-sandbox", // root has none, and the page is ours
		"--no-first-run", "--no-default-browser-check", "--no-zygote",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
		"--disable-breakpad", "--disable-crash-reporter", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
		"--no-proxy-server",
		"--autoplay-policy=no-user-gesture-required",
		"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
		"--allow-loopback-in-peer-connection",
		"--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate",
	}
}

// startChromium opens a page.
func startChromium(url string) (*chromium, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "tgtrunk-chromium-")
	if err != nil {
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	b := &chromium{profile: profile, log: &tail{}}
	cmd := exec.Command(path, slices.Concat(flags(), []string{"--user-data-dir=" + profile, url})...)
	cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if b.process, err = lab.StartProcess(cmd); err != nil {
		_ = os.RemoveAll(profile)
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return b, nil
}

// kill ends the browser as a power cut would: it says nothing to anybody.
func (b *chromium) kill() error {
	b.process.KillGroup()
	if err := os.RemoveAll(b.profile); err != nil {
		return fmt.Errorf("remove profile of chromium: %w", err)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4096

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = bytes.Clone(t.b[max(len(t.b)-tailSize, 0):])
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
