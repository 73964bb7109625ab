//go:build !linux

package lab

import (
	"errors"
	"os/exec"
	"time"
)

var errNotLinux = errors.New("run asterisk: the lab's own Asterisk needs Linux")

func ownGroup(*exec.Cmd) {}

type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func startProcess(*exec.Cmd) (*process, error)        { return nil, errNotLinux }
func (p *process) stop(time.Duration)                 {}
func (p *process) kill()                              {}
func unprivileged(*exec.Cmd, string, ...string) error { return errNotLinux }
