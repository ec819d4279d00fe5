package runner

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestStrays(t *testing.T) {
	o := official{script: identity{10, 100}, listener: identity{12, 101}, worker: identity{20, 200}}
	all := map[int]stat{
		1:  {0, 1},
		5:  {1, 50}, // who started us had it: a log's tee
		6:  {5, 300},
		10: {1, 100}, 11: {10, 100}, 12: {11, 101}, // run.sh, its helper, the listener
		13: {11, 150}, 14: {12, 150}, // safe_sleep.sh, a download's tar
		20: {12, 200}, 21: {20, 210}, 22: {21, 211}, // the worker, a step, its child
		30: {1, 220}, 31: {30, 221}, // a daemon that has come to us
		40: {0, 230}, 41: {40, 231}, // docker exec
	}
	for name, row := range map[string]struct {
		change func(o *official, all map[int]stat)
		want   []int
	}{
		"a job runs":       {func(*official, map[int]stat) {}, []int{21, 22, 30, 31}},
		"between two jobs": {func(o *official, all map[int]stat) { o.worker = identity{}; delete(all, 20); all[21] = stat{1, 210} }, []int{21, 22, 30, 31}},
		"run.sh and its helper were killed": {func(_ *official, all map[int]stat) {
			delete(all, 10)
			delete(all, 11)
			all[12] = stat{1, 101}
			delete(all, 13)
		}, []int{21, 22, 30, 31}},
		"only the worker lives": {func(_ *official, all map[int]stat) {
			for _, pid := range []int{10, 11, 12, 13, 14} {
				delete(all, pid)
			}
			all[20] = stat{1, 200}
		}, []int{21, 22, 30, 31}},
	} {
		o, all := o, maps.Clone(all)
		row.change(&o, all)
		got := o.strays(all, 1)
		slices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

// Of the runner's logs the newest stay, and nothing is reached through a link.
func TestPruneLogs(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	logs := filepath.Join(home, "_diag")
	precious := filepath.Join(elsewhere, "precious")
	now := time.Now()
	write := func(path string, size int64, age time.Duration) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		_ = filepath.WalkDir(logs, func(_ string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return nil
		})
		return n
	}
	for i := range 200 {
		write(precious+fmt.Sprint(i), 1, time.Hour)
		write(filepath.Join(logs, "pages", fmt.Sprint(i)), 1, time.Duration(i)*time.Minute)
	}
	if err := os.Symlink(elsewhere, filepath.Join(logs, "link")); err != nil {
		t.Fatal(err)
	}
	pruneLogs(home)
	if n := count(); n != 100 {
		t.Errorf("%d files are kept", n)
	}
	if _, err := os.Stat(filepath.Join(logs, "pages", "0")); err != nil {
		t.Error("the newest is gone")
	}
	for i := range 10 {
		write(filepath.Join(logs, fmt.Sprintf("Worker_%d.log", i)), 50<<20, -time.Duration(i)*time.Minute)
	}
	pruneLogs(home)
	if n := count(); n != 4 {
		t.Errorf("%d files of 50 MiB are kept", n)
	}

	if err := os.RemoveAll(logs); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, logs); err != nil {
		t.Fatal(err)
	}
	pruneLogs(home)
	if left, _ := filepath.Glob(precious + "*"); len(left) != 200 {
		t.Errorf("%d of 200 files elsewhere are left", len(left))
	}
}
