package main

import (
	"fmt"
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

// unpack is what becomes of the package that the official runner downloads: the
// whole new layout below _work/_update, made by a child of the listener. Then bin
// and externals are copied beside the old ones, and the scripts replaced; run.sh
// is being read while that happens, so they are moved into place.
const unpack = `set -e
rm -rf "$2" && mkdir -p "$2"
for folder in bin externals; do
    if [ -e $folder ]; then cp -aL $folder "$2/$folder"; fi
done
cp -a *.sh* "$2"
sleep "$3"
for folder in bin externals; do
    if [ -e "$2/$folder" ] && ! [ $folder.$1 -ef $folder ]; then rm -rf $folder.$1; cp -a "$2/$folder" $folder.$1; fi
done
for script in *.sh*; do
    cp -a "$2/$script" "$script.new" && mv "$script.new" "$script"
done
`

// updateScript is what the official runner does once its listener has ended
// (src/Misc/layoutbin/update.sh.template): bin and externals become links to the
// new version's folders, and the old ones keep their version in their name.
const updateScript = `log=_diag/SelfUpdate-$(date -u +%Y%m%d-%H%M%S)-utc.log
echo "waiting for $1" > $log
while [ -e "/proc/$1" ]; do sleep 0.05; done
for folder in bin externals; do
    if ! [ -e $folder.$3 ]; then continue; fi
    if [ -L $folder ]; then rm $folder; elif [ -e $folder ]; then mv $folder "$folder.$2"; fi
    ln -s "$PWD/$folder.$3" $folder
done
mv $log $log.succeed
touch update.finished
`

// downloadTime is that of a fast network.
const downloadTime = 3 * time.Second

// update is a self-update (SelfUpdater.cs). Its first part goes on beside a job,
// of whose end the second waits; it tells whether the listener is to end for it.
type update struct {
	*listener
	files chan error // the new version's files are there
}

func (l *listener) beginUpdate() *update {
	u := &update{l, make(chan error, 1)}
	term.line("Runner update in progress, do not shutdown runner.")
	term.line("Downloading %s runner", newer)
	go func() {
		child := exec.CommandContext(l.stop, "bash", "-c", unpack, "tar", newer, filepath.Join(l.workFolder(), "_update"), fmt.Sprintf("%.3f", pace(downloadTime).Seconds()))
		child.Dir = l.root
		u.files <- child.Run()
	}()
	return u
}

// finish waits for the files, and leaves a process behind that puts them in place.
// Without the files the listener goes on as it is.
func (u *update) finish() bool {
	err := <-u.files
	if err != nil {
		term.trace("SelfUpdater", "%s", err)
		return false
	}
	term.line("Waiting for current job finish running.")
	if !wait(u.stop, u.behaviour.UpdatePause) {
		return false
	}
	term.line("Generate and execute update script.")
	script := filepath.Join(u.workFolder(), "_update.sh")
	_ = os.Remove(filepath.Join(u.root, "update.finished"))
	if err := os.WriteFile(script, []byte(updateScript), 0o755); err != nil {
		term.trace("SelfUpdater", "%s", err)
		return false
	}
	move := exec.Command("bash", script, strconv.Itoa(os.Getpid()), current(u.root), newer)
	move.Dir = u.root
	if err := move.Start(); err != nil {
		term.trace("SelfUpdater", "%s", err)
		return false
	}
	term.line("Runner will exit shortly for update, should be back online within 10 seconds.")
	term.line("Runner update process finished.")
	return true
}

// updatesInJob tells whether an update is to begin beside the next job.
func (l *listener) updatesInJob() bool {
	return l.behaviour.UpdateInJob && !l.settings.DisableUpdate && current(l.root) != newer
}

func (l *listener) workFolder() string {
	if filepath.IsAbs(l.settings.WorkFolder) {
		return l.settings.WorkFolder
	}
	return filepath.Join(l.root, l.settings.WorkFolder)
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
