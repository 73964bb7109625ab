package lab

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

//go:embed asterisk/install.sh asterisk/etc
var asteriskFiles embed.FS

// installDeadline bounds an installation, waiting for another process's included.
const installDeadline = 15 * time.Minute

// InstallAsterisk makes sure that Asterisk 22 is in the user's cache directory (tgtrunk/asterisk) and returns that
// prefix. The first run takes about half a minute and 40 MB from a Debian mirror; later ones return at once. Lines
// about what is going on are written to progress, which may be nil. Safe to call from several processes at once.
//
// The error carries the script's own explanation, such as a missing tool or an unreachable mirror. DEBIAN_MIRROR in
// the environment names another archive.
func InstallAsterisk(ctx context.Context, progress io.Writer) (prefix string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("install asterisk: %w", err)
	}
	prefix = filepath.Join(cache, "tgtrunk", "asterisk")
	if err := installAsterisk(ctx, prefix, progress); err != nil {
		return "", fmt.Errorf("install asterisk: %w", err)
	}
	return prefix, nil
}

func installAsterisk(ctx context.Context, prefix string, progress io.Writer) error {
	if progress == nil {
		progress = io.Discard
	}
	progress = &lockedWriter{w: progress} // both outputs of the script go there, each from a goroutine of its own
	dir, err := os.MkdirTemp("", "tgtrunk-asterisk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	script, modules := filepath.Join(dir, "install.sh"), filepath.Join(dir, "modules.conf")
	for embedded, path := range map[string]string{"asterisk/install.sh": script, "asterisk/etc/modules.conf": modules} {
		text, err := asteriskFiles.ReadFile(embedded)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}

	ctx, cancel := context.WithTimeout(ctx, installDeadline)
	defer cancel()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "sh", script, prefix)
	cmd.Env = append(os.Environ(), "MODULES_CONF="+modules)
	cmd.Stdout, cmd.Stderr = progress, io.MultiWriter(progress, &complaint)
	cmd.WaitDelay = 5 * time.Second
	ownGroup(cmd)
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := strings.TrimSpace(complaint.String()); text != "" {
			return fmt.Errorf("%s (%w)", text, err)
		}
		return err
	}
	return nil
}

// lockedWriter lets several goroutines write to one writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
