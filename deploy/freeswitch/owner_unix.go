//go:build unix

package freeswitch

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// giveTo makes the owner of a model that of a file too.
func giveTo(path string, model fs.FileInfo) error {
	want, ok := model.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	if err := os.Chown(path, int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("make it readable for FreeSWITCH, whose files belong to user %d: %w; run this as that user or as root", want.Uid, err)
	}
	return nil
}
