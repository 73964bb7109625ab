package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startAsterisk runs an Asterisk until the end of the test, and shows its log when the test has failed.
func startAsterisk(t *testing.T, o AsteriskOptions) *Asterisk {
	t.Helper()
	o.Dir = t.TempDir()
	a, err := StartAsterisk(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var log bytes.Buffer
			_ = a.WriteLogTail(&log, 8000)
			t.Log(log.String())
		}
		a.Stop()
	})
	return a
}

func TestInstallIsIdempotent(t *testing.T) {
	var progress bytes.Buffer
	first, err := InstallAsterisk(t.Context(), &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	began := time.Now()
	second, err := InstallAsterisk(t.Context(), nil)
	if err != nil || second != first {
		t.Fatalf("second install: %q, %v; the first was %q", second, err, first)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("second install took %s", took)
	}
}

func TestInstallNamesWhatIsMissing(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(shell, filepath.Join(bin, "sh")); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"cat", "mkdir"} {
		if err := os.Symlink("/bin/"+tool, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	err = installAsterisk(t.Context(), filepath.Join(t.TempDir(), "prefix"), nil)
	if err == nil || !strings.Contains(err.Error(), "apt-get is not here") {
		t.Errorf("install without apt: %v", err)
	}
}

func TestInstallOffline(t *testing.T) {
	// Nothing listens on this port: apt says so at once.
	port, err := FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DEBIAN_MIRROR", fmt.Sprintf("http://127.0.0.1:%d/debian", port))
	var progress bytes.Buffer
	err = installAsterisk(t.Context(), filepath.Join(t.TempDir(), "prefix"), &progress)
	if err == nil || !strings.Contains(err.Error(), "no Debian archive could be read") {
		t.Errorf("install offline: %v\n%s", err, &progress)
	}
}

func TestInstallStopsWithItsContext(t *testing.T) {
	// A mirror that accepts and says nothing.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("DEBIAN_MIRROR", "http://"+l.Addr().String()+"/debian")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	err = installAsterisk(ctx, filepath.Join(t.TempDir(), "prefix"), nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("install from a silent mirror: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}
}

func TestTwoAsterisksAtOnce(t *testing.T) {
	a := startAsterisk(t, AsteriskOptions{})
	b := startAsterisk(t, AsteriskOptions{})
	if a.ARIURL() == b.ARIURL() || a.SIPAddr() == b.SIPAddr() {
		t.Fatalf("ports are shared: %s %s, %s %s", a.ARIURL(), b.ARIURL(), a.SIPAddr(), b.SIPAddr())
	}
	for _, x := range []*Asterisk{a, b} {
		if err := x.pingARI(t.Context()); err != nil {
			t.Error(err)
		}
		if n, err := x.Channels(t.Context()); n != 0 || err != nil {
			t.Errorf("channels: %d, %v", n, err)
		}
	}
	if _, err := a.CLI(t.Context(), "channel originate Local/silence@lab application Wait 5"); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := a.WaitChannels(wait, 2); err != nil {
		t.Error(err)
	}
	if n, err := b.Channels(t.Context()); n != 0 || err != nil {
		t.Errorf("a call of one shows in the other: %d, %v", n, err)
	}

	pid, began := a.Pid(), time.Now()
	a.Stop()
	t.Logf("stop took %s", time.Since(began))
	checkGone(t, a, pid)
	a.Stop() // does nothing
	if err := b.pingARI(t.Context()); err != nil {
		t.Errorf("the other one after a stop: %v", err)
	}
	pid = b.Pid()
	b.Kill()
	checkGone(t, b, pid)
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.pingARI(t.Context()); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// checkGone checks that neither the process nor its ports are left.
func checkGone(t *testing.T, a *Asterisk, pid int) {
	t.Helper()
	select {
	case <-a.Done():
	default:
		t.Error("done is not closed")
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after its end: %v", pid, err)
	}
	if _, err := http.Get(a.ARIURL()); err == nil {
		t.Error("somebody still serves ARI")
	}
	c, err := net.ListenPacket("udp4", a.SIPAddr())
	if err != nil {
		t.Errorf("the SIP port is not free: %v", err)
		return
	}
	c.Close()
}

func TestAsteriskBehaves(t *testing.T) {
	t.Parallel()
	a := startAsterisk(t, AsteriskOptions{ChannelVars: []string{"ONE", "TWO"}, Endpoints: []SIPEndpoint{{Name: "alice", ContactPort: 1}}})
	checkLog(t, a)
	checkOpenFiles(t, a)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), "CapEff:\t0000000000000000\n") {
		t.Errorf("asterisk has capabilities:\n%s", status)
	}
	if _, err := a.CLI(t.Context(), "no such thing"); err == nil {
		t.Error("an unknown command succeeds")
	}
}

// checkOpenFiles checks that Asterisk writes only below its directory.
func checkOpenFiles(t *testing.T, a *Asterisk) {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", a.Pid(), fd.Name()))
		if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/") {
			continue
		}
		if !strings.HasPrefix(path, a.options.Dir+"/") && !strings.HasPrefix(path, a.prefix+"/") {
			t.Errorf("open file outside of its directories: %s", path)
		}
	}
}

// checkLog looks for complaints in the log of the start.
func checkLog(t *testing.T, a *Asterisk) {
	t.Helper()
	log, err := os.ReadFile(a.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "ERROR") || strings.Contains(line, "WARNING") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if !strings.Contains(string(log), "Asterisk Ready") {
		t.Errorf("log is incomplete:\n%s", log)
	}
}

func TestStartRefusesBadOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, o := range map[string]AsteriskOptions{
		"no directory":          {},
		"long directory":        {Dir: filepath.Join(dir, strings.Repeat("x", 100))},
		"endpoint without port": {Dir: dir, Endpoints: []SIPEndpoint{{Name: "alice"}}},
		"endpoint without name": {Dir: dir, Endpoints: []SIPEndpoint{{ContactPort: 5}}},
		"name with a line end":  {Dir: dir, Endpoints: []SIPEndpoint{{Name: "a\n[b]", ContactPort: 5}}},
		"password with a mark":  {Dir: dir, ARIPassword: "a;b"},
		"file elsewhere":        {Dir: dir, Files: map[string]string{"../x.conf": ""}},
		"broken modules":        {Dir: dir, Files: map[string]string{"modules.conf": "[modules]\nautoload=no\nrequire=no_such.so\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := StartAsterisk(t.Context(), o)
			if err == nil {
				a.Stop()
				t.Fatal("started")
			}
			t.Log(err)
		})
	}
}

func TestStartRefusesTakenPorts(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, o := range []AsteriskOptions{{HTTPPort: l.Addr().(*net.TCPAddr).Port}, {SIPPort: c.LocalAddr().(*net.UDPAddr).Port}} {
		o.Dir = t.TempDir()
		a, err := StartAsterisk(t.Context(), o)
		if err == nil {
			a.Stop()
			t.Error("started on a port that is taken")
		}
		if !errors.Is(err, errPortTaken) {
			t.Error(err)
		}
	}
}

// A port may be taken between the check and the start: then Asterisk boots without it.
func TestStartNoticesALostPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, o := range []AsteriskOptions{{HTTPPort: l.Addr().(*net.TCPAddr).Port}, {SIPPort: c.LocalAddr().(*net.UDPAddr).Port}} {
		o.Dir = t.TempDir()
		a, err := newAsterisk(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.pickPorts(o); err != nil {
			t.Fatal(err)
		}
		err = a.start(t.Context())
		if !errors.Is(err, errPortTaken) {
			t.Error(err)
		}
		if p := a.current(); p != nil && alive(p.cmd.Process.Pid) {
			t.Error("asterisk still runs")
			a.Kill()
		}
	}
}

func TestAsteriskDiesWithItsParent(t *testing.T) {
	if os.Getenv("LAB_PARENT") != "" {
		parentOfAsterisk(t)
		return
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(dir, "pid")
	child, err := os.StartProcess(exe, []string{exe, "-test.run=^TestAsteriskDiesWithItsParent$"}, &os.ProcAttr{
		Env: append(os.Environ(), "LAB_PARENT="+dir), Files: []*os.File{nil, nil, nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	var pid int
	for pid == 0 && time.Now().Before(deadline) {
		if text, err := os.ReadFile(pidFile); err == nil {
			_, _ = fmt.Sscan(string(text), &pid)
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		poll(t)
	}
	if err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = child.Wait()
	if pid == 0 {
		t.Fatal("the child has not started Asterisk")
	}
	for alive(pid) && time.Now().Before(deadline) {
		poll(t)
	}
	if alive(pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Error("Asterisk lives on after its parent was killed")
	}
}

// parentOfAsterisk is the other process of the test above: it starts Asterisk and waits to be killed.
func parentOfAsterisk(t *testing.T) {
	dir := os.Getenv("LAB_PARENT")
	a, err := StartAsterisk(t.Context(), AsteriskOptions{Dir: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	temporary := filepath.Join(dir, "pid.new")
	if err := os.WriteFile(temporary, fmt.Append(nil, a.Pid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, filepath.Join(dir, "pid")); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Minute)
}

// poll waits a moment between two looks at something that sends no event.
func poll(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(20 * time.Millisecond):
	case <-t.Context().Done():
	}
}

// alive tells a process from none and from a zombie, which whoever inherited it has to reap.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !bytes.Contains(status, []byte("State:\tZ"))
}

// The configuration as containers use it: the plain files with their own local parts, on other ports.
func TestPlainFilesWork(t *testing.T) {
	t.Parallel()
	port, err := FreeTCPPort()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := plainFiles()
	if err != nil {
		t.Fatal(err)
	}
	moved := map[string]string{}
	for name, text := range plain {
		if strings.HasSuffix(name, "_local.conf") {
			text = strings.NewReplacer("0.0.0.0:5060", fmt.Sprintf("127.0.0.1:%d", port), "0.0.0.0", "127.0.0.1", "8088", fmt.Sprint(port)).Replace(text)
			moved[name] = text
		}
	}
	a := startAsterisk(t, AsteriskOptions{HTTPPort: port, SIPPort: port, ARIPassword: "tgtrunk", Files: moved})
	for command, want := range map[string]string{
		"pjsip show endpoint 100": "InAuth:  100/100", "dialplan show phones": "lab", "ari show user tgtrunk": "Username:", "rtp show settings": "20000",
	} {
		if out, err := a.CLI(t.Context(), command); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s\nwant %q", command, err, out, want)
		}
	}
	checkLog(t, a)
}

// Two processes install at once from packages that are already there: nothing is fetched, and both succeed.
func TestInstallTwiceAtOnceFromTheCache(t *testing.T) {
	from, err := InstallAsterisk(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	prefix := filepath.Join(t.TempDir(), "prefix")
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(prefix, "debs"), os.DirFS(filepath.Join(from, "debs"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"manifest", "manifest.recipe"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(prefix, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("DEBIAN_MIRROR", "http://127.0.0.1:1/debian") // nothing is there
	var progress [2]bytes.Buffer
	var errs [2]error
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { errs[i] = installAsterisk(t.Context(), prefix, &progress[i]) })
	}
	wg.Wait()
	for i := range 2 {
		if errs[i] != nil {
			t.Errorf("%v\n%s", errs[i], &progress[i])
		}
	}
	both := progress[0].String() + progress[1].String()
	if strings.Count(both, "unpacking") != 1 || !strings.Contains(both, "waiting for it") || strings.Contains(both, "fetching") {
		t.Errorf("progress of both:\n%s", both)
	}
	runsAsNobody(t, prefix)
}

// runsAsNobody checks that root runs Asterisk as nobody where nobody can reach it.
func runsAsNobody(t *testing.T, prefix string) {
	dir := t.TempDir()
	for _, parent := range []string{filepath.Dir(prefix), dir} {
		for _, d := range []string{parent, filepath.Dir(parent)} { // that of all temporary directories of a test has mode 0700
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, err := StartAsterisk(t.Context(), AsteriskOptions{Dir: dir, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop()
	info, err := os.Stat(fmt.Sprintf("/proc/%d", a.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("asterisk runs as root")
	}
	if err := a.Restart(t.Context()); err != nil {
		t.Error(err)
	}
}
