package lab

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	deployed "github.com/tgtrunk/tgtrunk/deploy/freeswitch"
)

//go:embed freeswitch/freeswitch.xml
var freeswitchXML string

// freeswitchDomain is the domain of the phones.
const freeswitchDomain = "lab.local"

// freeswitchModules are those a call needs.
var freeswitchModules = []string{
	"mod_logfile", "mod_event_socket", "mod_commands", "mod_dptools", "mod_hash", "mod_dialplan_xml", "mod_loopback", "mod_rtc",
	"mod_sofia", "mod_opus", "mod_sndfile", "mod_tone_stream",
}

// writeConfig writes the files of deploy/freeswitch into the configuration directory, and what they need around them.
func (f *FreeSWITCH) writeConfig() error {
	settings := deployed.Settings{EventSocket: f.ESLAddr(), Verto: f.vertoAddr(), Password: f.options.Password, VertoPassword: f.options.VertoPassword}
	for _, name := range deployed.Names() {
		text, err := settings.Render(name)
		if err != nil {
			return err
		}
		if err := f.writeFile(name, text); err != nil {
			return err
		}
	}
	modules := slices.Concat(freeswitchModules, f.options.Modules)
	if !f.options.NoVerto {
		modules = append(modules, "mod_verto")
	}
	page, err := template.New("freeswitch.xml").Parse(freeswitchXML)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = page.Execute(&text, struct {
		FreeSWITCHOptions
		Domain, LogFile string
		Modules         []string
		RTP             PortRange
	}{f.options, freeswitchDomain, f.LogFile(), modules, f.rtp})
	if err != nil {
		return err
	}
	return f.writeFile("freeswitch.xml", text.String())
}

func (f *FreeSWITCH) writeFile(name, text string) error {
	path := filepath.Join(f.configDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// check refuses what would silently break the configuration.
func (o *FreeSWITCHOptions) check() error {
	if o.Dir == "" {
		return errors.New("no directory given")
	}
	words := append([]string{o.Dir, o.Password, o.VertoPassword, o.PhoneContext}, o.Modules...)
	for _, e := range o.Endpoints {
		words = append(words, e.Name)
		if e.Name == "" || e.ContactPort <= 0 || e.ContactPort > 65535 {
			return fmt.Errorf("endpoint %q: want a name and a contact port, have port %d", e.Name, e.ContactPort)
		}
	}
	for _, w := range words {
		if strings.ContainsAny(w, "\r\n\"<>&$") {
			return fmt.Errorf("option %q has a character with a meaning in FreeSWITCH's configuration", w)
		}
	}
	return nil
}
