package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"
)

// maxSocketPath is the longest path of a Unix socket on Linux (sun_path less its end mark).
const maxSocketPath = 107

// localFiles are the files that say what is special to one instance. The plain ones of asterisk/etc include them.
const localFiles = `
{{define "asterisk.conf"}}[directories]
astetcdir => {{.Dir}}/etc
astmoddir => {{.Prefix}}/modules
astvarlibdir => {{.Dir}}/var
astdbdir => {{.Dir}}/var
astkeydir => {{.Dir}}/var
astdatadir => {{.Prefix}}/root/usr/share/asterisk
astagidir => {{.Dir}}/var
astspooldir => {{.Dir}}/spool
astrundir => {{.Dir}}/run
astlogdir => {{.Dir}}/log
astcachedir => {{.Dir}}/var
[options]
nocolor = yes
hideconnect = yes
{{end}}
{{define "http_local.conf"}}bindaddr=127.0.0.1
bindport={{.HTTPPort}}
{{end}}
{{define "rtp_local.conf"}}rtpstart={{.RTP.First}}
rtpend={{.RTP.Last}}
{{end}}
{{define "ari_local.conf"}}{{with .ChannelVars}}channelvars={{join .}}
{{end}}[{{.ARIUser}}]
type=user
read_only=no
password={{.ARIPassword}}
password_format=plain
{{end}}
{{define "pjsip_local.conf"}}[udp]
type=transport
protocol=udp
bind=127.0.0.1:{{.SIPPort}}
{{range .Endpoints}}
[{{.Name}}](phone)
context={{.Context}}
allow={{join .Codecs}}
aors={{.Name}}
identify_by=header
[{{.Name}}]
type=aor
contact=sip:{{.Name}}@127.0.0.1:{{.ContactPort}}
[{{.Name}}]
type=identify
endpoint={{.Name}}
match_header={{$.PhoneHeader}}: {{.Name}}
{{end}}{{.PJSIP}}{{end}}
{{define "extensions_local.conf"}}[phones]
include => lab
{{.Dialplan}}
{{end}}`

// writeConfig fills dir/etc with the plain files and the generated ones, and makes the directories Asterisk writes to.
func writeConfig(prefix string, o AsteriskOptions) error {
	if n := len(filepath.Join(o.Dir, "run", "asterisk.ctl")); n > maxSocketPath {
		return fmt.Errorf("the control socket's path would have %d bytes, %d are allowed: choose a shorter directory than %s",
			n, maxSocketPath, o.Dir)
	}
	for _, sub := range []string{"etc", "run", "var/keys", "log/cdr-csv", "spool/recording", "spool/monitor", "spool/outgoing"} {
		if err := os.MkdirAll(filepath.Join(o.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	files, err := plainFiles()
	if err != nil {
		return err
	}
	local, err := renderLocal(prefix, o)
	if err != nil {
		return err
	}
	maps.Copy(files, local)
	maps.Copy(files, o.Files)
	for name, text := range files {
		if name != filepath.Base(name) {
			return fmt.Errorf("configuration file %q: want a bare name", name)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func plainFiles() (map[string]string, error) {
	files := map[string]string{}
	entries, err := fs.ReadDir(asteriskFiles, "asterisk/etc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := asteriskFiles.ReadFile(path.Join("asterisk/etc", e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = string(text)
	}
	return files, nil
}

func renderLocal(prefix string, o AsteriskOptions) (map[string]string, error) {
	join := func(list []string) string { return strings.Join(list, ",") }
	templates, err := template.New("").Funcs(template.FuncMap{"join": join}).Parse(localFiles)
	if err != nil {
		return nil, err
	}
	data := struct {
		AsteriskOptions
		Prefix, PhoneHeader string
	}{o, prefix, phoneHeader}
	files := map[string]string{}
	for _, t := range templates.Templates() {
		if t.Name() == "" {
			continue
		}
		var text bytes.Buffer
		if err := t.Execute(&text, data); err != nil {
			return nil, err
		}
		files[t.Name()] = text.String()
	}
	return files, nil
}

// check refuses what would silently break a configuration file.
func (o *AsteriskOptions) check() error {
	if o.Dir == "" {
		return errors.New("no directory given")
	}
	words := append([]string{o.ARIUser, o.ARIPassword, o.Dir}, o.ChannelVars...)
	for _, e := range o.Endpoints {
		words = append(append(words, e.Name, e.Context), e.Codecs...)
		if e.Name == "" || e.ContactPort <= 0 || e.ContactPort > 65535 {
			return fmt.Errorf("endpoint %q: want a name and a contact port, have port %d", e.Name, e.ContactPort)
		}
	}
	for _, w := range words {
		if strings.ContainsAny(w, "\r\n;[]") {
			return fmt.Errorf("option %q has a character with a meaning in Asterisk's configuration", w)
		}
	}
	return nil
}
