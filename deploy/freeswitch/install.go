package freeswitch

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNoConfig says that there is no configuration directory of FreeSWITCH.
var ErrNoConfig = errors.New("no configuration of FreeSWITCH is found")

// Find returns the configuration directory among those where packages and `make install` put it: the one with a
// freeswitch.xml. It is ErrNoConfig where there is none, and an error where there are several.
func Find(candidates ...string) (string, error) {
	if len(candidates) == 0 {
		candidates = []string{"/etc/freeswitch", "/usr/local/freeswitch/conf"}
	}
	var found []string
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "freeswitch.xml")); err == nil {
			found = append(found, dir)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w in %s", ErrNoConfig, strings.Join(candidates, ", "))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("there are several configurations of FreeSWITCH, say which: %s", strings.Join(found, ", "))
}

// What is to be done with a file.
const (
	Create   = "create"   // it is not there
	Complete = "complete" // it is ours, and a password is still to be chosen
	Replace  = "replace"  // it is somebody's, and lacks what tgtrunk needs
)

// Change is what is to be done with one file.
type Change struct {
	Name string // of Names
	Kind string // Create, Complete or Replace
	Why  string // for Replace, what it lacks

	have, want string
}

// Plan is what an installation finds, and what it is going to do.
type Plan struct {
	Dir      string
	Settings Settings // what the files say when it is done; a password is "" where FreeSWITCH's pre-processor knows it
	Changes  []Change // none where there is nothing to do
	Missing  []string // modules that modules.conf.xml does not load
	Notes    []string // what an administrator should know
}

// Look compares a configuration directory with what tgtrunk needs and changes nothing. generate makes passwords; nil
// stands for random ones.
func Look(dir string, generate func() string) (*Plan, error) {
	if generate == nil {
		generate = rand.Text
	}
	p := &Plan{Dir: dir}
	if err := p.lookAround(); err != nil {
		return nil, fmt.Errorf("look at the configuration of FreeSWITCH in %s: %w", dir, err)
	}
	for _, look := range []struct {
		name string
		at   func(have string, generate func() string) (Change, error)
	}{
		{EventSocketFile, p.eventSocket}, {VertoFile, p.verto}, {DirectoryFile, p.directory}, {DialplanFile, p.dialplan},
	} {
		have, err := os.ReadFile(filepath.Join(dir, look.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		change, e := look.at(string(have), generate)
		if e != nil {
			return nil, fmt.Errorf("look at %s: %w", look.name, e)
		}
		change.Name, change.have = look.name, string(have)
		if change.have == "" {
			change.Kind = Create
		}
		if change.want != "" && change.want != change.have {
			p.Changes = append(p.Changes, change)
		}
	}
	return p, nil
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// lookAround looks at the files that are never changed.
func (p *Plan) lookAround() error {
	text, err := os.ReadFile(filepath.Join(p.Dir, "freeswitch.xml"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w there: freeswitch.xml is missing", ErrNoConfig)
	}
	if err != nil {
		return err
	}
	patterns, err := notIncluded(string(text))
	if err != nil {
		return fmt.Errorf("freeswitch.xml: %w", err)
	}
	for _, pattern := range patterns {
		p.note("freeswitch.xml does not seem to include %s: see that the files there are read", pattern)
	}
	text, err = os.ReadFile(filepath.Join(p.Dir, "autoload_configs", "modules.conf.xml"))
	if errors.Is(err, fs.ErrNotExist) {
		p.Missing = Modules()
		return nil
	}
	if err != nil {
		return err
	}
	if p.Missing, err = missingModules(string(text)); err != nil {
		return fmt.Errorf("modules.conf.xml: %w", err)
	}
	return nil
}

// The event socket is the administrator's: any that takes a password is used as it is.
func (p *Plan) eventSocket(have string, generate func() string) (c Change, err error) {
	p.Settings.EventSocket = DefaultEventSocket
	root, err := parse(have)
	if err != nil {
		return c, err
	}
	if have == "" {
		p.Settings.Password = generate()
		c.want, err = p.Settings.Render(EventSocketFile)
		return c, err
	}
	value := func(name, otherwise string) string {
		text, _ := root.param(name)
		return cmp.Or(text, otherwise)
	}
	// What mod_event_socket takes for settings that are left out.
	p.Settings.EventSocket = net.JoinHostPort(reachable(value("listen-ip", "127.0.0.1")), value("listen-port", "8021"))
	p.Settings.Password = value("password", "ClueCon")
	switch {
	case p.Settings.Password == passwordPlaceholder:
		p.Settings.Password = generate()
		c.Kind, c.want = Complete, replaceParam(have, "password", passwordPlaceholder, p.Settings.Password)
	case preprocessed(p.Settings.Password):
		p.note("%s takes its password from a variable of FreeSWITCH: put its value into TGTRUNK_ESL_PASSWORD", EventSocketFile)
		p.Settings.Password = ""
	case p.Settings.Password == "ClueCon":
		p.note("%s has the password that every new FreeSWITCH has: choose another, there and in tgtrunk.yaml", EventSocketFile)
	}
	if preprocessed(p.Settings.EventSocket) {
		p.note("%s takes its address from a variable of FreeSWITCH: write the address into tgtrunk.yaml yourself", EventSocketFile)
		p.Settings.EventSocket = DefaultEventSocket
	}
	return c, nil
}

// preprocessed reports whether FreeSWITCH's pre-processor fills a value in.
func preprocessed(value string) bool { return strings.Contains(value, "$${") }

// reachable is where one on the same host connects to what listens at ip.
func reachable(ip string) string {
	if ip == "::" || ip == "0.0.0.0" {
		return "127.0.0.1"
	}
	return ip
}

// replaceParam changes the value of a <param> whose value is known.
func replaceParam(text, name, from, to string) string {
	return strings.Replace(text, param(name, from), param(name, to), 1)
}

// A profile of mod_verto is added to those there are.
func (p *Plan) verto(have string, _ func() string) (c Change, err error) {
	p.Settings.Verto = DefaultVerto
	root, err := parse(have)
	if err != nil {
		return c, err
	}
	if profile := root.find("profile", named("name", "tgtrunk")); profile != nil {
		if at, ok := profile.param("bind-local"); ok && !preprocessed(at) {
			p.Settings.Verto = at
		} else {
			p.note("the profile tgtrunk in %s does not say where it listens: write its address into tgtrunk.yaml yourself", VertoFile)
		}
		return c, nil
	}
	p.Settings.Verto = freeAddress(root)
	ours, err := p.Settings.Render(VertoFile)
	if err != nil {
		return c, err
	}
	c.want = ours
	if have != "" {
		c.Kind, c.Why = Replace, "it has no profile tgtrunk"
		if merged, ok := withProfile(have, root, ours); ok {
			c.want = merged
		}
	}
	return c, nil
}

// freeAddress is a loopback address whose port no profile has.
func freeAddress(root *element) string {
	var taken []string
	var look func(*element)
	look = func(e *element) {
		if name := e.attrs["name"]; e.name == "param" && (name == "bind-local" || name == "secure-local") {
			_, port, _ := strings.Cut(e.attrs["value"], ":")
			taken = append(taken, port[strings.LastIndexByte(port, ':')+1:])
		}
		for _, child := range e.children {
			look(child)
		}
	}
	look(root)
	port := 8081
	for slices.Contains(taken, strconv.Itoa(port)) {
		port++
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// The user of mod_verto has a file, and a domain, of its own.
func (p *Plan) directory(have string, generate func() string) (c Change, err error) {
	root, err := parse(have)
	if err != nil {
		return c, err
	}
	password := ""
	user := root.find("user", named("id", "tgtrunk"))
	if user != nil {
		password, _ = user.param("password")
	}
	if password == "" || password == vertoPasswordPlaceholder {
		p.Settings.VertoPassword = generate()
		if c.want, err = p.Settings.Render(DirectoryFile); err != nil || have == "" {
			return c, err
		}
		c.Kind, c.Why = Replace, "it has no user tgtrunk with a password"
		if password != "" {
			c.Kind, c.want = Complete, replaceParam(have, "password", vertoPasswordPlaceholder, p.Settings.VertoPassword)
		}
		return c, nil
	}
	p.Settings.VertoPassword = password
	if preprocessed(password) {
		p.note("%s takes the password from a variable of FreeSWITCH: put its value into TGTRUNK_VERTO_PASSWORD", DirectoryFile)
		p.Settings.VertoPassword = ""
	}
	methods, _ := root.param("jsonrpc-allowed-methods")
	if domain := root.find("domain", named("name", "tgtrunk.local")); domain == nil || !strings.Contains(methods, "verto") {
		c.Kind, c.Why = Replace, "it has no domain tgtrunk.local whose users may call over mod_verto"
		s := p.Settings
		s.VertoPassword = password
		c.want, err = s.Render(DirectoryFile)
	}
	return c, err
}

// The dialplan is made to be changed: only what tgtrunk itself dials must be there.
func (p *Plan) dialplan(have string, _ func() string) (c Change, err error) {
	if c.want, err = p.Settings.Render(DialplanFile); err != nil || have == "" {
		return c, err
	}
	there, err := parse(have)
	if err != nil {
		return c, err
	}
	needed, err := parse(c.want)
	if err != nil {
		return c, err
	}
	names := lacking(there, needed)
	if len(names) == 0 {
		c.want = ""
		return c, nil
	}
	c.Kind, c.Why = Replace, fmt.Sprintf("its context %s has no extension %s", mediaContext, strings.Join(names, ", "))
	return c, nil
}
