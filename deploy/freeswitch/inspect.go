package freeswitch

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// element is an XML element of a configuration file, as far as it is looked at.
type element struct {
	name     string
	attrs    map[string]string
	children []*element
	end      int // offset of its end tag in the file
}

// maxDepth of elements within each other; FreeSWITCH's own files have 8 at most.
const maxDepth = 64

var commentPattern = regexp.MustCompile(`(?s)<!--.*?-->`)

// parse reads a configuration file before FreeSWITCH's pre-processor has seen it. The root has no name.
func parse(text string) (*element, error) {
	// FreeSWITCH allows more in comments than XML does; blanks keep the offsets.
	text = commentPattern.ReplaceAllStringFunc(text, func(comment string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, strings.ToValidUTF8(comment, " "))
	})
	decoder := xml.NewDecoder(strings.NewReader(text))
	decoder.Strict = false
	open := []*element{{}}
	for {
		at := int(decoder.InputOffset())
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return open[0], nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) > maxDepth {
				return nil, fmt.Errorf("elements are nested deeper than %d", maxDepth)
			}
			e := &element{name: t.Name.Local, attrs: map[string]string{}}
			for _, a := range t.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			parent := open[len(open)-1]
			parent.children = append(parent.children, e)
			open = append(open, e)
		case xml.EndElement:
			open[len(open)-1].end = at
			open = open[:max(1, len(open)-1)]
		}
	}
}

// find returns the first element below e with that name for which fits holds; nil for none.
func (e *element) find(name string, fits func(*element) bool) *element {
	for _, child := range e.children {
		if child.name == name && (fits == nil || fits(child)) {
			return child
		}
		if found := child.find(name, fits); found != nil {
			return found
		}
	}
	return nil
}

func named(attr, value string) func(*element) bool {
	return func(e *element) bool { return e.attrs[attr] == value }
}

// param returns the value of the first <param> of that name below e.
func (e *element) param(name string) (string, bool) {
	p := e.find("param", named("name", name))
	if p == nil {
		return "", false
	}
	return p.attrs["value"], true
}

// contexts of the dialplan file that tgtrunk itself dials.
const mediaContext = "tgtrunk-media"

// lacking returns the extensions that the dialplan file must have and have does not.
func lacking(have, want *element) (names []string) {
	inContext := func(root *element) (list []string) {
		context := root.find("context", named("name", mediaContext))
		if context == nil {
			return nil
		}
		for _, child := range context.children {
			if child.name == "extension" {
				list = append(list, child.attrs["name"])
			}
		}
		return list
	}
	there := inContext(have)
	for _, name := range inContext(want) {
		if !slices.Contains(there, name) {
			names = append(names, name)
		}
	}
	return names
}

// Modules returns those that tgtrunk needs.
func Modules() []string {
	return []string{"mod_event_socket", "mod_commands", "mod_dptools", "mod_dialplan_xml", "mod_loopback", "mod_rtc", "mod_verto"}
}

// missingModules returns the needed modules that the text of modules.conf.xml does not load.
func missingModules(text string) ([]string, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, module := range Modules() {
		if root.find("load", named("module", module)) == nil {
			missing = append(missing, module)
		}
	}
	return missing, nil
}

// notIncluded returns the patterns of files that the text of freeswitch.xml does not include.
func notIncluded(text string) ([]string, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, pattern := range []string{"autoload_configs/*.xml", "dialplan/*.xml", "directory/*.xml"} {
		included := root.find("X-PRE-PROCESS", func(e *element) bool {
			return e.attrs["cmd"] == "include" && strings.TrimPrefix(e.attrs["data"], "$${conf_dir}/") == pattern
		})
		if included == nil {
			missing = append(missing, pattern)
		}
	}
	return missing, nil
}

// withProfile returns the text of a verto.conf.xml with the profile of ours added.
func withProfile(have string, root *element, ours string) (string, bool) {
	profiles := root.find("profiles", nil)
	profile := regexp.MustCompile(`(?s)[ \t]*<profile name="tgtrunk">.*?</profile>\n`).FindString(ours)
	if profiles == nil || profile == "" || !bytes.HasPrefix([]byte(have)[profiles.end:], []byte("</profiles")) {
		return "", false
	}
	// The end tag stays on a line of its own with the blanks before it.
	at := profiles.end - len(have[:profiles.end]) + len(strings.TrimRight(have[:profiles.end], " \t"))
	if at > 0 && have[at-1] != '\n' {
		profile = "\n" + profile
	}
	return have[:at] + profile + have[at:], true
}
