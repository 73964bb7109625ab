package freeswitch

import (
	"cmp"
	"embed"
	"fmt"
	"net"
	"strings"
)

// The files, by their path below FreeSWITCH's configuration directory.
const (
	EventSocketFile = "autoload_configs/event_socket.conf.xml"
	VertoFile       = "autoload_configs/verto.conf.xml"
	DirectoryFile   = "directory/tgtrunk.xml"
	DialplanFile    = "dialplan/tgtrunk.xml"
)

// Names returns the files in the order in which they are installed.
func Names() []string { return []string{EventSocketFile, VertoFile, DirectoryFile, DialplanFile} }

// Login is the user of mod_verto that the files make.
const Login = "tgtrunk@tgtrunk.local"

// What stands in the files where an administrator chooses.
const (
	DefaultEventSocket = "127.0.0.1:8021"
	DefaultVerto       = "127.0.0.1:8081"

	passwordPlaceholder      = "choose-one"
	vertoPasswordPlaceholder = "choose-another"
)

//go:embed autoload_configs directory dialplan
var embedded embed.FS

// Settings are what the files leave open. Empty fields stay as the files have them.
type Settings struct {
	EventSocket   string // ip:port that the event socket listens at; default DefaultEventSocket
	Verto         string // ip:port that mod_verto's profile listens at; default DefaultVerto
	Password      string // of the event socket
	VertoPassword string // of Login
}

// Render returns the text of a file of Names.
func (s Settings) Render(name string) (string, error) {
	text, err := embedded.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("render %s: %w", name, err)
	}
	host, port, err := net.SplitHostPort(cmp.Or(s.EventSocket, DefaultEventSocket))
	if err != nil {
		return "", fmt.Errorf("address of the event socket: %w", err)
	}
	return strings.NewReplacer(
		param("listen-ip", "127.0.0.1"), param("listen-ip", host),
		param("listen-port", "8021"), param("listen-port", port),
		param("bind-local", DefaultVerto), param("bind-local", cmp.Or(s.Verto, DefaultVerto)),
		param("password", passwordPlaceholder), param("password", cmp.Or(s.Password, passwordPlaceholder)),
		param("password", vertoPasswordPlaceholder), param("password", cmp.Or(s.VertoPassword, vertoPasswordPlaceholder)),
	).Replace(string(text)), nil
}

func param(name, value string) string {
	return fmt.Sprintf(`<param name="%s" value="%s"/>`, name, escape(value))
}

// escape makes a value fit to stand between double quotes in XML.
func escape(value string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;").Replace(value)
}
