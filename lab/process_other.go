//go:build !linux

package lab

import (
	"errors"
	"os/exec"
)

var errNotLinux = errors.New("run asterisk: the lab's own Asterisk needs Linux")

func ownGroup(*exec.Cmd) {}

// StartProcess starts nothing: the kernel of Linux is what ends children with their parent.
func StartProcess(*exec.Cmd) (*Process, error) { return nil, errNotLinux }

func unprivileged(*exec.Cmd, string, ...string) error { return errNotLinux }

// KillGroup is never called where no child can be started.
func (p *Process) KillGroup() { p.Kill() }
