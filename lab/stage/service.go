package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/tgtrunk/tgtrunk/lab"
)

// Service is the tgtrunk process.
type Service struct {
	*lab.Process
	log string // path of what it wrote
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

var configuration = template.Must(template.New("tgtrunk.yaml").Parse(`data: {{.Dir}}/data
log: {level: debug}
telegram:
  listen: "127.0.0.1:0"
  server: {address: "{{.Cloud}}", public_key: {{.Dir}}/cloud.pem.pub}
guard: {strangers: {per_day: -1, gap: 0s, declines: {count: 0}}}   # it makes nothing but calls to strangers
accounts:
  - name: company
    api_id: 1
    api_hash: "00000000000000000000000000000000"
    phone: "{{.Phone}}"
    calls: multi
    reached_in: {{.ReachedIn}}
{{with .Chat}}    chat: {{.}}
{{end}}pbx:
  - name: office
    asterisk:
      url: {{.ARI}}
      username: {{.User}}
      password: {file: {{.Dir}}/ari.password}
routes:
  - {name: in, from: company, to: office, context: from-telegram, extension: "100"}
  - {name: out, from: office, to: company, numbers: {country: "49", national_prefix: "0"}}
records: {file: {{.Dir}}/calls.jsonl}
`))

// Dialplan is what an administrator would write (README.md shows the same).
const Dialplan = `
exten => _[*+0-9a-zA-Z].,1,Stasis(tgtrunk,${EXTEN})
 same => n,NoOp(${TGTRUNK_STATUS} ${TGTRUNK_REASON})
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

func (s *Stage) writeConfiguration(o Options) error {
	if err := os.WriteFile(filepath.Join(s.Dir, "ari.password"), []byte(s.Asterisk.ARIPassword()), 0o600); err != nil {
		return err
	}
	file, err := os.Create(s.Config())
	if err != nil {
		return err
	}
	err = configuration.Execute(file, map[string]any{
		"Dir": s.Dir, "Cloud": s.Cloud.Addr().String(), "Phone": "+" + strings.TrimPrefix(Company.Phone, "+"),
		"ReachedIn": o.ReachedIn, "Chat": o.Chat, "ARI": s.Asterisk.ARIURL(), "User": s.Asterisk.ARIUser(),
	})
	return errors.Join(err, file.Close())
}

// login logs the service's account in as an administrator does, with the code on standard input.
func (s *Stage) login(ctx context.Context, o Options) error {
	cmd := s.command(ctx, o, "login", "--config", s.Config(), "--account", "company")
	cmd.Stdin = strings.NewReader(Company.Code + "\n")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("tgtrunk login: %w\n%s", err, output)
	}
	return nil
}

func (s *Stage) command(ctx context.Context, o Options, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, o.Binary, args...)
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// StartService runs `tgtrunk run` and waits until it is Ready.
func (s *Stage) StartService(ctx context.Context, o Options) error {
	path := filepath.Join(s.Dir, "tgtrunk.log")
	output, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// The service outlives ctx, which bounds its start only.
	cmd := s.command(context.WithoutCancel(ctx), o, "run", "--config", s.Config())
	cmd.Stdout, cmd.Stderr = output, output
	process, err := lab.StartProcess(cmd)
	if err = errors.Join(err, output.Close()); err != nil {
		return err
	}
	s.Service = &Service{Process: process, log: path}
	return s.Ready(ctx)
}

// Ready waits until the service serves the PBX and is online at Telegram, half a minute at most.
func (s *Stage) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		apps, err := s.Asterisk.CLI(ctx, "ari show apps")
		if err == nil && strings.Contains(apps, "tgtrunk") && s.Cloud.Control().Online(Company.ID) > 0 {
			return nil
		}
		select {
		case <-s.Service.Done():
			return fmt.Errorf("the service ended by itself with %s\n%s", s.Service.Status(), tail(s.Service.log))
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
