package runner

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// rest gives back the memory that a life no longer needs once its listener waits
// or works, which is how it spends nearly all of its time: what registering has
// left on the heap, and the pages of our own program that only the start has
// touched. Both cost a page fault each if they are wanted again.
func rest() {
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range untouchedMappings(string(data)) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED)
	}
}

type mapping struct{ start, end uintptr }

// untouchedMappings finds the mappings in smaps that are read-only, of a file, and
// hold not one page that differs from the file: what is dropped of these comes
// again as it was. Read-only is not enough: a dynamic linker writes to what it
// makes read-only later.
func untouchedMappings(smaps string) []mapping {
	var found []mapping
	var current mapping
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case !strings.HasSuffix(fields[0], ":"): // start-end permissions offset device inode path
			var permissions string
			current = mapping{}
			if len(fields) < 6 || fields[5][0] != '/' {
				continue
			}
			var m mapping
			if _, err := fmt.Sscanf(line, "%x-%x %s", &m.start, &m.end, &permissions); err == nil && strings.HasPrefix(permissions, "r-") {
				current = m
			}
		case fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0" && current.end != 0:
			found = append(found, current)
		}
	}
	return found
}
