package lab

import (
	"os/exec"
	"syscall"
	"time"
)

// Process is a child that the kernel kills when this process dies.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has been reaped
}

// Pid is the child's.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended, whoever ended it.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status says how the child has ended, such as "exit status 0"; to be called after Done.
func (p *Process) Status() string { return p.cmd.ProcessState.String() }

// Stop asks the child to end, kills it after patience, and returns when it has been reaped. It reports whether the child
// has ended by itself, as one that is well.
func (p *Process) Stop(patience time.Duration) bool {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.Kill()
	}
	return p.cmd.ProcessState.Success()
}

// Kill ends the child without asking, and returns when it has been reaped.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
