//go:build linux

// Hostile is what a malicious job would run: it looks for secrets wherever a
// process of its user can look, again and again for some seconds, and prints
// where it found one. The secrets come masked (XOR), so that it does not find
// itself.
//
//	hostile SECONDS MASKED…
package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	seconds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	var secrets [][]byte
	for _, masked := range os.Args[2:] {
		secret, err := hex.DecodeString(masked)
		if err != nil {
			panic(err)
		}
		for i := range secret {
			secret[i] ^= 0x5a
		}
		secrets = append(secrets, secret)
	}
	found := map[string]bool{}
	look := func(where string, data []byte) {
		for i, secret := range secrets {
			if bytes.Contains(data, secret) && !found[fmt.Sprint(where, i)] {
				found[fmt.Sprint(where, i)] = true
				fmt.Printf("FOUND secret %d in %s\n", i, where)
			}
		}
	}
	files(look)
	rounds := 0
	for deadline := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(deadline); rounds++ {
		processes(look)
	}
	fmt.Printf("looked %d times as uid %d, found %d\n", rounds, os.Getuid(), len(found))
}

// processes looks into every other process.
func processes(look func(string, []byte)) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		for _, name := range []string{"environ", "cmdline"} {
			data, _ := os.ReadFile(filepath.Join(dir, name))
			look(filepath.Join(dir, name), data)
		}
		memory(dir, look)
		fds, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
		for _, fd := range fds {
			if info, err := os.Stat(fd); err == nil && info.Mode().IsRegular() && info.Size() < 1<<20 {
				data, _ := os.ReadFile(fd)
				look(fd, data)
			}
		}
	}
}

// memory reads what the process has mapped for writing.
func memory(dir string, look func(string, []byte)) {
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil {
		return
	}
	mem, err := os.Open(filepath.Join(dir, "mem"))
	if err != nil {
		return
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		from, to, ok := strings.Cut(fields[0], "-")
		if !ok || !strings.HasPrefix(fields[1], "rw") {
			continue
		}
		begin, err1 := strconv.ParseUint(from, 16, 63)
		end, err2 := strconv.ParseUint(to, 16, 63)
		if err1 != nil || err2 != nil || end-begin > 64<<20 {
			continue // Go reserves more than it uses
		}
		data := make([]byte, end-begin)
		n, _ := mem.ReadAt(data, int64(begin))
		look(dir+"/mem", data[:n])
	}
}

// files reads what could have been written since the image was made.
func files(look func(string, []byte)) {
	for _, root := range []string{"/home", "/tmp", "/var", "/run", "/etc", "/dev/shm", "/root", "/opt", "/srv", "/mnt"} {
		_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			if info, err := entry.Info(); err != nil || info.Size() > 1<<20 {
				return nil
			}
			data, _ := os.ReadFile(path)
			look(path, data)
			return nil
		})
	}
}
