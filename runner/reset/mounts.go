//go:build linux

package reset

import (
	"os"
	"strconv"
	"strings"
)

// mount is one line of /proc/self/mountinfo (proc(5)).
type mount struct {
	id       uint64
	point    string
	readOnly bool
	system   string // type of the file system
}

// mounts returns what is mounted, a later one over an earlier one.
func mounts() []mount {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(string(data))
}

func parseMounts(text string) (all []mount) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			continue
		}
		m := mount{id: id, point: unescape(fields[4]), readOnly: hasOption(fields[5], "ro")}
		if _, after, found := strings.Cut(line, " - "); found {
			if rest := strings.Fields(after); len(rest) > 0 {
				m.system = rest[0]
				m.readOnly = m.readOnly || len(rest) > 2 && hasOption(rest[2], "ro")
			}
		}
		all = append(all, m)
	}
	return all
}

func hasOption(options, name string) bool {
	return strings.Contains(","+options+",", ","+name+",")
}

// unescape turns \ and three octal digits into the byte that they stand for, as
// the kernel writes blank, tab, line feed and backslash.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// mountsBelow returns the mount points below a folder, and those of single files.
func mountsBelow(all []mount, dir string) (points []string) {
	for _, m := range all {
		if m.point != dir && strings.HasPrefix(m.point, strings.TrimSuffix(dir, "/")+"/") {
			points = append(points, m.point)
		}
	}
	return points
}
