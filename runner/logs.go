//go:build linux

package runner

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"time"
)

// What is kept of the official runner's own logs (_diag), which deletes them by age
// alone: so many of the newest files, of so many bytes, whichever is less.
const (
	mostLogs     = 100
	mostLogBytes = 200 << 20
)

// pruneLogs deletes the oldest files in _diag. Jobs can write there, so nothing is
// reached through a link, and a link goes like a file.
func pruneLogs(home string) {
	root, err := os.OpenRoot(home)
	if err != nil {
		return
	}
	defer root.Close()
	if info, err := root.Lstat("_diag"); err != nil || !info.IsDir() {
		return
	}
	logs, err := root.OpenRoot("_diag")
	if err != nil {
		return
	}
	defer logs.Close()
	type file struct {
		name    string
		size    int64
		written time.Time
	}
	var files []file
	_ = fs.WalkDir(logs.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			files = append(files, file{name, info.Size(), info.ModTime()})
		}
		return nil
	})
	slices.SortFunc(files, func(a, b file) int { return b.written.Compare(a.written) })
	var size int64
	for i, f := range files {
		if size += f.size; i > 0 && (i >= mostLogs || size > mostLogBytes) { // the newest is being written
			_ = logs.Remove(path.Clean(f.name))
		}
	}
}
