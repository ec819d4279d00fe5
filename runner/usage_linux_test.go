package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// The files are a container's under cgroup v2, as the kernel's documentation
// (cgroup-v2.rst) has them.
func cgroup(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func TestUsageOfAJob(t *testing.T) {
	before := readUsage(cgroup(t, map[string]string{
		"cpu.stat":      "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
		"memory.peak":   "104857600\n",
		"memory.events": "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\noom_group_kill 0\n",
		"io.stat":       "8:0 rbytes=1000 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n",
	}))
	after := readUsage(cgroup(t, map[string]string{
		"cpu.stat":      "usage_usec 4000000\nuser_usec 1000000\nsystem_usec 500000\n",
		"memory.peak":   "209715200\n",
		"memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n",
		"io.stat":       "8:0 rbytes=1500 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n253:1 rbytes=10 wbytes=20 rios=1 wios=1\n",
	}))
	used := after.since(before)
	if used.cpu == nil || *used.cpu != 2.5 {
		t.Errorf("CPU %v", used.cpu)
	}
	for name, row := range map[string]struct {
		got  *int64
		want int64
	}{"peak": {used.peak, 209715200}, "kills": {used.oomKills, 2}, "read": {used.read, 510}, "written": {used.written, 20}} {
		if row.got == nil || *row.got != row.want {
			t.Errorf("%s: %v, want %d", name, row.got, row.want)
		}
	}
}

// What is not known is absent: no cgroup v2, or a peak that an earlier job of
// the same container has made.
func TestUsageThatIsNotKnown(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no cgroup v2": {},
		"garbage":      {"cpu.stat": "?", "memory.peak": "max", "memory.events": "oom_kill many\n"},
	} {
		u := readUsage(cgroup(t, files))
		if used := u.since(u); used.cpu != nil || used.peak != nil || used.oomKills != nil || used.read != nil || used.written != nil {
			t.Errorf("%s: %+v", name, used)
		}
	}
	same := readUsage(cgroup(t, map[string]string{"memory.peak": "1000\n"}))
	if used := same.since(same); used.peak != nil {
		t.Errorf("a peak of %d that was there before", *used.peak)
	}
	if limit := memoryLimit(cgroup(t, map[string]string{"memory.max": "max\n"})); limit != nil {
		t.Errorf("a limit of %d where there is none", *limit)
	}
	if limit := memoryLimit(cgroup(t, map[string]string{"memory.max": "4294967296\n"})); limit == nil || *limit != 4<<30 {
		t.Errorf("limit %v", limit)
	}
}

func TestDiskUsed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "deep/er/file"), string(make([]byte, 100_000)))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if used := diskUsed(dir, time.Now().Add(time.Minute)); used == nil || *used < 100_000 || *used > 1<<20 {
		t.Errorf("used %v", used)
	}
	if used := diskUsed(dir, time.Now().Add(-time.Second)); used != nil {
		t.Error("counted without time to count")
	}
	if used := diskUsed(filepath.Join(dir, "nowhere"), time.Now().Add(time.Minute)); used != nil {
		t.Error("a folder that is not there takes room")
	}
}

// A work folder may be a link, and a file have several names: it counts once. What
// cannot be seen is not zero.
func TestDiskUsedByFilesOfSeveralNames(t *testing.T) {
	dir := t.TempDir()
	work, link := filepath.Join(dir, "work"), filepath.Join(dir, "link")
	if err := os.MkdirAll(filepath.Join(work, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(work, "a", "big"), strings.Repeat("x", 1<<20))
	for _, name := range []string{"b", "c", "d"} {
		if err := os.Link(filepath.Join(work, "a", "big"), filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(work, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{work, link} {
		if used := diskUsed(path, time.Now().Add(time.Minute)); used == nil || *used < 1<<20 || *used > 3<<19 {
			t.Errorf("%s: %v bytes, want a little more than 1 MiB", path, used)
		}
	}
	for what, used := range map[string]*int64{"none": diskUsed(filepath.Join(dir, "none"), time.Now().Add(time.Minute)), "no time": diskUsed(work, time.Now().Add(-time.Second))} {
		if used != nil {
			t.Errorf("%s: %d bytes", what, *used)
		}
	}
}

// Whose memory was used up decides what is to be done.
func TestOutOfMemoryIsTold(t *testing.T) {
	many, one, no := int64(3), int64(1), int64(0)
	for name, row := range map[string]struct {
		limit string
		used  usage
		want  string
	}{
		"its own limit":      {"4294967296\n", usage{oomKills: &many, limitMet: &one}, `"limit_bytes":4294967296`},
		"no limit":           {"max\n", usage{oomKills: &many, limitMet: &one}, "the machine's memory"},
		"another one's":      {"4294967296\n", usage{oomKills: &many, limitMet: &no}, "the machine's memory"},
		"no process was":     {"4294967296\n", usage{oomKills: &no, limitMet: &one}, ""},
		"nothing is known":   {"4294967296\n", usage{}, ""},
		"an older container": {"4294967296\n", usage{oomKills: &many}, `"limit_bytes":4294967296`},
	} {
		var log bytes.Buffer
		l := &Life{Options: Options{Log: zerolog.New(&log)}}
		l.measurer.cgroup = cgroup(t, map[string]string{"memory.max": row.limit})
		if l.tellOutOfMemory("build", row.used); !strings.Contains(log.String(), row.want) || row.want == "" && log.Len() > 0 {
			t.Errorf("%s: %q", name, log.String())
		}
	}
}

// The end of a stop is the engine's: a record that hangs has what the plan leaves.
func TestRecordsWaitNoLongerThanTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Life{Options: Options{StopGrace: 10 * time.Second, Log: zerolog.Nop()}, stop: &stopper{kill: make(chan struct{})}}
		hangs := make(chan struct{})
		l.measurer.pending.Go(func() { <-hangs })
		took := func() time.Duration {
			began := time.Now()
			l.awaitRecords()
			return time.Since(began)
		}
		if d := took(); d != recordBudget {
			t.Errorf("without a stop it waits %s", d)
		}
		l.stop.signal, l.stop.since = syscall.SIGTERM, time.Now().Add(-9*time.Second)
		if d := took(); d != 500*time.Millisecond {
			t.Errorf("9 s after the signal it waits %s, and the engine kills after 10", d)
		}
		l.stop.since = time.Now()
		close(l.stop.kill)
		if d := took(); d != 0 {
			t.Errorf("after the third signal it waits %s", d)
		}
		close(hangs)
	})
}
