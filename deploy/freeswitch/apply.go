package freeswitch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrDiffers says that files of somebody's were left as they are; what they should be stands beside them.
var ErrDiffers = errors.New("files differ from what tgtrunk needs")

// Diff returns the unified difference that Apply with force would make.
func (p *Plan) Diff() string {
	var all strings.Builder
	for _, c := range p.Changes {
		from := filepath.Join(p.Dir, c.Name)
		if c.Kind == Create {
			from = "/dev/null"
		}
		all.WriteString(unified(from, filepath.Join(p.Dir, c.Name), c.have, c.want))
	}
	return all.String()
}

// Apply makes the changes and returns a line for each. A file of somebody's is replaced only by force, which keeps a
// copy; otherwise the new text is written to FILE.new, and the error is ErrDiffers.
func (p *Plan) Apply(force bool) (done []string, err error) {
	differ := false
	for _, c := range p.Changes {
		path := filepath.Join(p.Dir, c.Name)
		var said string
		switch {
		case c.Kind == Replace && !force:
			differ = true
			said, err = c.beside(path)
		case c.Kind == Replace:
			said, err = c.replace(path)
		default:
			said = map[string]string{Create: "wrote ", Complete: "chose the password in "}[c.Kind] + path
			err = write(path, c.want)
		}
		if err != nil {
			return done, fmt.Errorf("install %s: %w", path, err)
		}
		done = append(done, said)
	}
	if differ {
		return done, ErrDiffers
	}
	return done, nil
}

// beside writes FILE.new.
func (c Change) beside(path string) (said string, err error) {
	if there, err := os.ReadFile(path + ".new"); err == nil && string(there) == c.want {
		return fmt.Sprintf("left %s as it is: %s; %s.new, with that, is there already", path, c.Why, path), nil
	}
	return fmt.Sprintf("left %s as it is: %s; wrote %s.new, with that", path, c.Why, path), write(path+".new", c.want)
}

// replace keeps a copy under a name that is free.
func (c Change) replace(path string) (said string, err error) {
	for n := 0; ; n++ {
		backup := path + ".bak"
		if n > 0 {
			backup = fmt.Sprintf("%s.bak%d", path, n)
		}
		if _, err := os.Lstat(backup); err == nil {
			continue
		}
		if err := write(backup, c.have); err != nil {
			return "", err
		}
		return fmt.Sprintf("replaced %s: %s; the old one is %s", path, c.Why, backup), write(path, c.want)
	}
}

// write puts a file there as a whole or not at all, for the same readers as its neighbours: FreeSWITCH often runs as a
// user of its own.
func write(path, text string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	dir := filepath.Dir(path)
	model, err := modelOf(path)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, model.Mode().Perm()|0o111); err == nil {
		_ = giveTo(dir, model)
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	file, err := os.CreateTemp(dir, ".tgtrunk-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone once renamed
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Chmod(model.Mode().Perm()), file.Close(), giveTo(file.Name(), model))
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// modelOf returns what a new file is to be like: the one it replaces, or freeswitch.xml.
func modelOf(path string) (fs.FileInfo, error) {
	if info, err := os.Stat(path); err == nil {
		return info, nil
	}
	return os.Stat(filepath.Join(filepath.Dir(filepath.Dir(path)), "freeswitch.xml"))
}

// Commands returns what makes a FreeSWITCH that runs read what has changed.
func (p *Plan) Commands() []string {
	if len(p.Changes) == 0 {
		return nil
	}
	changed := func(name string) bool {
		return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Name == name })
	}
	commands := []string{"fs_cli -x 'reloadxml'"}
	for _, module := range p.Missing {
		commands = append(commands, fmt.Sprintf("fs_cli -x 'load %s'", module))
	}
	for _, m := range []struct{ module, file string }{{"mod_verto", VertoFile}, {"mod_event_socket", EventSocketFile}} {
		if changed(m.file) && !slices.Contains(p.Missing, m.module) {
			commands = append(commands, fmt.Sprintf("fs_cli -x 'reload %s'", m.module))
		}
	}
	return commands
}
