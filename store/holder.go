package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const holderSuffix = ".holder"

// holderFile is a file beside a bbolt file that names the process which has it open: the lock itself is nameless. It is
// for people; nothing depends on it.
type holderFile string

func (h holderFile) write() error {
	if err := os.WriteFile(string(h), []byte(ProcessName()+"\n"), 0o600); err != nil {
		return fmt.Errorf("name the holder of the store: %w", err)
	}
	return nil
}

func (h holderFile) read() string {
	text, err := os.ReadFile(string(h))
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "a process without a name"
}

func (h holderFile) remove() error {
	if err := os.Remove(string(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the holder of the store: %w", err)
	}
	return nil
}

// ProcessName is how this process shows where others are refused: its host and number.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, pid %d", host, os.Getpid())
}
