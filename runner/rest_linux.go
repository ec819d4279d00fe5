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
	data, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		// start-end permissions offset device inode path: read-only and of a file.
		var start, end uintptr
		var permissions string
		if fields := strings.Fields(line); len(fields) < 6 || fields[5][0] != '/' {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &permissions); err == nil && permissions[0] == 'r' && permissions[1] == '-' {
			_ = madviseDontNeed(start, end-start)
		}
	}
}

// madviseDontNeed drops a mapping's pages; they come again from the file.
func madviseDontNeed(start, length uintptr) error {
	if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, length, unix.MADV_DONTNEED); errno != 0 {
		return errno
	}
	return nil
}
