package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tgtrunk/tgtrunk/lab"
)

// PBX is what a stage is set on.
type PBX string

// The PBXs there are.
const (
	OnAsterisk   PBX = "asterisk"
	OnFreeSWITCH PBX = "freeswitch"
)

// ParsePBX reads the name of a PBX.
func ParsePBX(name string) (PBX, error) {
	if p := PBX(name); p == OnAsterisk || p == OnFreeSWITCH {
		return p, nil
	}
	return "", fmt.Errorf("pbx %q: want %s or %s", name, OnAsterisk, OnFreeSWITCH)
}

// String is the PBX's name as people write it.
func (p PBX) String() string {
	if p == OnFreeSWITCH {
		return "FreeSWITCH"
	}
	return "Asterisk"
}

// Switch is the running PBX, whichever it is.
type Switch interface {
	SIPAddr() string // host:port over UDP
	Pid() int
	LogFile() string
	WaitChannels(ctx context.Context, n int) error
	Stop()
}

// check refuses what cannot be staged before anything is started.
func (o *Options) check() error {
	if _, err := ParsePBX(string(o.PBX)); err != nil || o.PBX == OnAsterisk {
		return err
	}
	if o.RelayARI {
		return errors.New("RelayARI: FreeSWITCH has no ARI")
	}
	_, err := lab.FindFreeSWITCH()
	return err
}

// startPBX starts the PBX with its phones.
func (s *Stage) startPBX(ctx context.Context, o Options) error {
	var endpoints []lab.SIPEndpoint
	for extension, hz := range Extensions {
		p, err := lab.NewPhone(lab.PhoneOptions{Name: extension, Tone: hz, Log: o.Log})
		if err != nil {
			return err
		}
		s.Phones[extension] = p
		endpoints = append(endpoints, lab.SIPEndpoint{Name: extension, ContactPort: p.Port()})
	}
	start := s.startAsterisk
	if o.PBX == OnFreeSWITCH {
		start = s.startFreeSWITCH
	}
	if err := start(ctx, o, endpoints); err != nil {
		return err
	}
	for _, p := range s.Phones {
		p.SetServer(s.PBX.SIPAddr())
	}
	return nil
}

func (s *Stage) startAsterisk(ctx context.Context, o Options, endpoints []lab.SIPEndpoint) error {
	prefix, err := lab.InstallAsterisk(ctx, o.Install)
	if err != nil {
		return err
	}
	s.Asterisk, err = lab.StartAsterisk(ctx, lab.AsteriskOptions{
		Dir: filepath.Join(s.Dir, "asterisk"), Prefix: prefix, Dialplan: o.Dialplan, PJSIP: softphone, Endpoints: endpoints, Log: o.Log,
	})
	if err != nil {
		return err
	}
	s.PBX = s.Asterisk
	if o.RelayARI {
		s.ARI, err = newRelay(s.Asterisk.HTTPAddr())
	}
	return errors.Join(err, s.secret("ari", s.Asterisk.ARIPassword()))
}

func (s *Stage) startFreeSWITCH(ctx context.Context, o Options, endpoints []lab.SIPEndpoint) (err error) {
	s.FreeSWITCH, err = lab.StartFreeSWITCH(ctx, lab.FreeSWITCHOptions{
		Dir: filepath.Join(s.Dir, "freeswitch"), Dialplan: o.Dialplan, Endpoints: endpoints, Log: o.Log,
	})
	if err != nil {
		return err
	}
	s.PBX = s.FreeSWITCH
	return errors.Join(s.secret("esl", s.FreeSWITCH.Password()), s.secret("verto", s.FreeSWITCH.VertoPassword()))
}

// secret writes a password where configurations name it.
func (s *Stage) secret(name, password string) error {
	return os.WriteFile(filepath.Join(s.Dir, name+".password"), []byte(password), 0o600)
}

// served returns which of these services serve the PBX.
func (s *Stage) served(ctx context.Context, services map[string]*Service) (names []string, err error) {
	if s.FreeSWITCH == nil {
		apps, err := s.Asterisk.CLI(ctx, "ari show apps")
		return strings.Fields(apps), err
	}
	// FreeSWITCH does not tell who listens to its event socket.
	for name, service := range services {
		log, err := os.ReadFile(service.log)
		if err != nil {
			return nil, err
		}
		if int64(len(log)) > service.from && bytes.Contains(log[service.from:], []byte(`msg="audio goes by" trunk=office`)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
