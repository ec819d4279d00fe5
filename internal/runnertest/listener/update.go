package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// newer is the version that a self-update brings, which is the same program.
const newer = "2.337.0"

// moveFolders is what the official runner does once its listener has ended
// (src/Misc/layoutbin/update.sh.template): bin and externals become links to the
// new version's folders, and the old ones keep their version in their name.
const moveFolders = `while [ -e "/proc/$1" ]; do sleep 0.05; done
for folder in bin externals; do
    if [ -L $folder ]; then rm $folder; elif [ -e $folder ]; then mv $folder "$folder.$2"; fi
    ln -s "$PWD/$folder.$3" $folder
done
touch update.finished
`

// beginUpdate brings the new version's files, as SelfUpdater.cs does, and leaves a
// process behind that puts them in place.
func (l *listener) beginUpdate(root string) error {
	fmt.Println("Runner update in progress, do not shutdown runner.")
	defer fmt.Println("Runner update process finished.")
	for _, folder := range []string{"bin", "externals"} {
		from, err := filepath.EvalSymlinks(filepath.Join(root, folder))
		if err != nil && folder == "bin" {
			return err
		}
		to := filepath.Join(root, folder+"."+newer)
		if from == to {
			continue
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		entries, _ := os.ReadDir(from)
		for _, entry := range entries {
			if err := copyFile(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())); err != nil {
				return err
			}
		}
	}
	// The scripts are replaced while run.sh reads one of them: removed first.
	scripts, _ := filepath.Glob(filepath.Join(root, "*.sh*"))
	for _, script := range scripts {
		if err := copyFile(script, script+".new"); err != nil {
			return err
		}
		if err := os.Rename(script+".new", script); err != nil {
			return err
		}
	}
	select {
	case <-time.After(l.behaviour.UpdatePause):
	case <-l.stop.Done():
		return errors.New("stopped")
	}
	_ = os.Remove(filepath.Join(root, "update.finished"))
	move := exec.Command("bash", "-c", moveFolders, "update.sh", strconv.Itoa(os.Getpid()), version, newer)
	move.Dir = root
	return move.Start()
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || info.IsDir() {
		return err
	}
	_ = os.Remove(to)
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// current is the version of the program that runs, by its folder.
func current(root string) string {
	folder, err := filepath.EvalSymlinks(filepath.Join(root, "bin"))
	if err != nil {
		return version
	}
	parts := strings.SplitN(filepath.Base(folder), ".", 2)
	if len(parts) == 2 && slices.Contains([]string{version, newer}, parts[1]) {
		return parts[1]
	}
	return version
}
