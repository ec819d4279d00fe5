package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what the kernel has counted for this container since its start
// (cgroup v2). What it does not tell is nil.
type usage struct {
	cpu           *float64 // seconds
	peak          *int64   // bytes of memory, cached files included
	oomKills      *int64
	limitMet      *int64 // how often memory could not be had because of the container's own limit
	read, written *int64 // bytes, from and to block devices
}

// cgroupDir is our own cgroup's folder, "" where there is no cgroup v2: in a
// container with a namespace of its own the line is 0::/.
func cgroupDir() string {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", path)
		}
	}
	return ""
}

// readUsage reads a cgroup's counters.
func readUsage(dir string) usage {
	if dir == "" {
		return usage{}
	}
	var u usage
	if micros := counter(filepath.Join(dir, "cpu.stat"), "usage_usec"); micros != nil {
		seconds := float64(*micros) / 1e6
		u.cpu = &seconds
	}
	u.peak = single(filepath.Join(dir, "memory.peak")) // Linux 5.19
	u.oomKills = counter(filepath.Join(dir, "memory.events"), "oom_kill")
	u.limitMet = counter(filepath.Join(dir, "memory.events"), "oom")
	u.read, u.written = blockBytes(filepath.Join(dir, "io.stat"))
	return u
}

// memoryLimit is the container's, nil if it has none.
func memoryLimit(dir string) *int64 {
	if dir == "" {
		return nil
	}
	return single(filepath.Join(dir, "memory.max")) // "max" is no number
}

// since is what was used after an earlier reading. The peak is the container's,
// so it is a job's only if it has risen in it.
func (u usage) since(before usage) usage {
	d := usage{oomKills: less(u.oomKills, before.oomKills), limitMet: less(u.limitMet, before.limitMet), read: less(u.read, before.read), written: less(u.written, before.written)}
	if u.cpu != nil && before.cpu != nil {
		seconds := max(*u.cpu-*before.cpu, 0)
		d.cpu = &seconds
	}
	if u.peak != nil && before.peak != nil && *u.peak > *before.peak {
		d.peak = u.peak
	}
	return d
}

func less(now, before *int64) *int64 {
	if now == nil || before == nil {
		return nil
	}
	d := max(*now-*before, 0)
	return &d
}

func single(path string) *int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// counter reads one line "name number" of a file of several.
func counter(path, name string) *int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return &n
			}
		}
	}
	return nil
}

// blockBytes adds up the devices of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 …". One
// that lies on others (LVM, LUKS, RAID) is left out, for theirs hold its bytes. An
// empty file is a container that has read and written nothing yet.
func blockBytes(path string) (read, written *int64) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil
	}
	var r, w int64
	for line := range strings.Lines(string(data)) {
		device, counts, _ := strings.Cut(line, " ")
		if below, _ := os.ReadDir("/sys/dev/block/" + device + "/slaves"); len(below) > 0 {
			continue
		}
		for field := range strings.FieldsSeq(counts) {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case err != nil:
			case key == "rbytes":
				r += n
			case key == "wbytes":
				w += n
			}
		}
	}
	return &r, &w
}

// absolute is a work folder as config.sh takes it, relative to the runner's folder.
func absolute(home, work string) string {
	if filepath.IsAbs(work) {
		return work
	}
	return filepath.Join(home, work)
}

// diskUsed is how many bytes a folder's files take, nil when they cannot all be
// seen, or are too many to be counted before the deadline.
func diskUsed(dir string, deadline time.Time) *int64 {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	type inode struct{ device, number uint64 }
	linked := map[inode]bool{} // files of several names, which count once
	var total int64
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if time.Now().After(deadline) {
			return os.ErrDeadlineExceeded
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // gone meanwhile
			}
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.ErrUnsupported
		}
		if stat.Nlink > 1 && !entry.IsDir() {
			id := inode{stat.Dev, stat.Ino}
			if linked[id] {
				return nil
			}
			linked[id] = true
		}
		total += stat.Blocks * 512 // of a sparse file less than its length
		return nil
	})
	if err != nil {
		return nil
	}
	return &total
}
