package lab

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// ownGroup makes cmd the leader of a process group that is killed as a whole when cmd's context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// StartProcess starts cmd and reaps it. The kernel ties the death signal to the thread that forked, so one locked
// goroutine starts the child and keeps its thread alive until the child has ended.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // a Ctrl-C in the terminal is ours to handle
	started := make(chan error)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit status is in cmd.ProcessState
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, err
	}
	return p, nil
}

// unprivileged makes cmd run with as little power as its files allow when this process is root: as nobody if nobody
// can reach every path and owns dir, else as a root without any capability, as in a home directory of mode 0700.
func unprivileged(cmd *exec.Cmd, dir string, paths ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err == nil && reachable(append(paths, dir)) {
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, uid, gid)
		})
	}
	setpriv, err := exec.LookPath("setpriv")
	if errors.Is(err, exec.ErrNotFound) {
		return nil // a minimal container: there root is weak already
	}
	if err != nil {
		return err
	}
	cmd.Args = append([]string{setpriv, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = setpriv
	return nil
}

// reachable reports whether everybody may walk to each path and into it.
func reachable(paths []string) bool {
	for _, path := range paths {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			return false
		}
		for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
			info, err := os.Stat(dir)
			if err != nil || info.IsDir() && info.Mode().Perm()&0o001 == 0 {
				return false
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return true
}

// KillGroup ends the child and the children it has, without asking, and returns when the child has been reaped. It may
// be called when the child has ended by itself and left children behind.
func (p *Process) KillGroup() {
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	<-p.done
}
