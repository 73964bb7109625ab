package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/tgtrunk/tgtrunk/deploy/freeswitch"
	"github.com/tgtrunk/tgtrunk/lab"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// Service is the tgtrunk process.
type Service struct {
	*lab.Process
	log  string // path of what it wrote
	from int64  // where in there it began
}

// Log is the path of the file with everything the service has written.
func (s *Service) Log() string { return s.log }

// Stop ends the process as systemd does, and by force if it takes longer than 20 seconds, which is an error as a failure
// is.
func (s *Service) Stop() error {
	if !s.Process.Stop(20 * time.Second) {
		return fmt.Errorf("the service ended with %s", s.Status())
	}
	return nil
}

// Configuration is what an administrator would write for one account and one PBX.
const Configuration = `data: {{.Dir}}/data
log: {level: debug}
telegram:
  listen: "127.0.0.1:0"
  server: {address: "{{.Cloud}}", public_key: {{.Dir}}/cloud.pem.pub}
guard: {pace: {calls: 0}, strangers: {per_day: -1, gap: 0s, declines: {count: 0}}}   # it makes nothing but calls to strangers
accounts:
{{- range .Accounts}}
  - name: {{.Name}}
    api_id: 1
    api_hash: "00000000000000000000000000000000"
    phone: "{{.User.Phone}}"
    calls: multi
    max_calls: 1000
    reached_in: {{$.ReachedIn}}
{{- with $.Chat}}
    chat: {{.}}
{{- end}}
{{- end}}
pbx:
  - name: office
{{- if .EventSocket}}
    freeswitch:
      address: {{.EventSocket}}
      password: {file: {{.Dir}}/esl.password}
      app: {{.Service}}
{{- with .Codec}}
      codec: {{.}}
{{- end}}
      verto:
        url: {{.Verto}}
        login: {{.Login}}
        password: {file: {{.Dir}}/verto.password}
{{- else}}
    asterisk:
      url: {{.ARI}}
      username: {{.User}}
      password: {file: {{.Dir}}/ari.password}
      app: {{.Service}}
{{- end}}
routes:
  - {name: in, from: company, to: office, context: from-telegram, extension: "100"}
  - {name: out, from: office, to: company, numbers: {country: "49", national_prefix: "0"}}
records: {file: {{.Dir}}/calls.jsonl}
`

// Setting is what a template of a configuration may name.
type Setting struct {
	Service   string // name of the process, and of its application in the dialplan
	Dir       string // of the stage; has the passwords and cloud.pem.pub
	Cloud     string // address of the simulated Telegram
	Accounts  []Account
	ReachedIn time.Duration
	Chat      string // of every account, in yaml on one line; "": they answer nobody
	ARI, User string // URL and user name; OnAsterisk

	EventSocket  string // address, OnFreeSWITCH
	Verto, Login string // URL and user of mod_verto
	Codec        string // of the legs; "" is for the service to choose
}

// Account is an account that the service holds.
type Account struct {
	Name string
	User cloud.User
	Out  bool // it is not logged in
}

// Dialplan is what an administrator would write (README.md shows the same).
const Dialplan = `
exten => _[*+0-9a-zA-Z].,1,Stasis(tgtrunk,${FILTER(0-9a-zA-Z+*#@_.\-,${EXTEN})})
 same => n,NoOp(${TGTRUNK_STATUS} ${TGTRUNK_REASON})
 same => n,ExecIf($["${STASISSTATUS}" = "FAILED"]?Hangup(34))
 same => n,Hangup(${TGTRUNK_CAUSE})

[from-telegram]
exten => 100,1,Dial(PJSIP/100,60)
 same => n,Hangup()
`

// softphone is the account of a softphone that registers, for people who want to join.
const softphone = `
[300](phone)
context=phones
allow=opus,g722,ulaw,alaw
force_rport=yes
rewrite_contact=yes
auth=300
aors=300
[300]
type=auth
auth_type=userpass
username=300
password=tgtrunk
[300]
type=aor
max_contacts=2
remove_existing=yes
`

func (s *Stage) writeConfigurations(o Options) error {
	text, err := template.New("tgtrunk.yaml").Parse(o.Configuration)
	if err != nil {
		return err
	}
	for _, name := range o.Services {
		if err := s.writeConfiguration(text, name, o); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) writeConfiguration(text *template.Template, service string, o Options) error {
	file, err := os.Create(s.ConfigOf(service))
	if err != nil {
		return err
	}
	setting := Setting{
		Service: service, Dir: s.Dir, Cloud: s.Cloud.Addr().String(), Accounts: o.Accounts, ReachedIn: o.ReachedIn, Chat: o.Chat,
	}
	if f := s.FreeSWITCH; f != nil {
		setting.EventSocket, setting.Verto, setting.Login, setting.Codec = f.ESLAddr(), f.VertoURL(), freeswitch.Login, o.Codec
	} else {
		setting.ARI, setting.User = s.Asterisk.ARIURL(), s.Asterisk.ARIUser()
	}
	if s.ARI != nil {
		setting.ARI = strings.Replace(setting.ARI, s.Asterisk.HTTPAddr(), s.ARI.Addr(), 1)
	}
	err = text.Execute(file, setting)
	return errors.Join(err, file.Close())
}

// login logs the service's accounts in as an administrator does, with the code on standard input.
func (s *Stage) login(ctx context.Context, o Options) error {
	for _, a := range o.Accounts {
		if a.Out {
			continue
		}
		cmd := s.command(ctx, o, "login", "--config", s.ConfigOf(o.Services[0]), "--account", a.Name)
		cmd.Stdin = strings.NewReader(a.User.Code + "\n")
		output, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("tgtrunk login --account %s: %w\n%s", a.Name, err, output)
		}
	}
	return nil
}

func (s *Stage) command(ctx context.Context, o Options, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, o.Binary, args...)
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// StartService runs `tgtrunk run` of that name and waits until it is Ready.
func (s *Stage) StartService(ctx context.Context, o Options, name string) error {
	if err := s.LaunchService(ctx, o, name); err != nil {
		return err
	}
	return s.Ready(ctx)
}

// LaunchService runs `tgtrunk run` of that name and does not wait.
func (s *Stage) LaunchService(ctx context.Context, o Options, name string) error {
	path := filepath.Join(s.Dir, name+".log")
	output, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := output.Stat()
	if err != nil {
		return errors.Join(err, output.Close())
	}
	// The service outlives ctx, which bounds its start only.
	cmd := s.command(context.WithoutCancel(ctx), o, "run", "--config", s.ConfigOf(name))
	cmd.Stdout, cmd.Stderr = output, output
	process, err := lab.StartProcess(cmd)
	if err = errors.Join(err, output.Close()); err != nil {
		return err
	}
	service := &Service{Process: process, log: path, from: info.Size()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[name] = service
	if s.Service == nil || s.Service.log == path {
		s.Service = service
	}
	return nil
}

// ServiceOf is the process of that name that was started last; nil where none was.
func (s *Stage) ServiceOf(name string) *Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.services[name]
}

// Ready waits until every service that was started serves the PBX and their accounts are online at Telegram, half a
// minute at most.
func (s *Stage) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	s.mu.Lock()
	services := maps.Clone(s.services)
	s.mu.Unlock()
	for {
		served, err := s.served(ctx, services)
		ready := err == nil && !slices.ContainsFunc(s.accounts, func(a Account) bool {
			return !a.Out && s.Cloud.Control().Online(a.User.ID) == 0
		})
		for name, service := range services {
			select {
			case <-service.Done():
				return fmt.Errorf("service %s ended by itself with %s\n%s", name, service.Status(), tail(service.log))
			default:
				ready = ready && slices.Contains(served, name)
			}
		}
		if ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the service is not ready: %w\n%s", ctx.Err(), tail(s.Service.log))
		case <-look.C:
		}
	}
}

// tail returns the last lines of a file, for the report of a failure.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const most = 4000
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
