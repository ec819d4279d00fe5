//go:build linux

package runner

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestRecordSurvivesItsLife(t *testing.T) {
	dir := t.TempDir()
	first, err := openRecord(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	first.begin(time.Now(), "")
	first.begin(time.Now(), "")
	first.setRunner("fleet-1", 7)
	if _, err := openRecord(dir, zerolog.Nop()); !errors.Is(err, ErrConfiguration) {
		t.Errorf("a second life in the same folder: %v", err)
	}
	first.close() // as its end does, a kill included

	second, err := openRecord(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if second.Failures != 2 || second.Name != "fleet-1" || second.ID != 7 {
		t.Errorf("read %+v", second)
	}
	second.succeed()
	second.setRunner("", 0)
	second.close()
	third, err := openRecord(dir, zerolog.Nop())
	if err != nil || third.Failures != 0 || third.Name != "" || third.ID != 0 {
		t.Errorf("read %+v, %v", third, err)
	}
	third.close()
}

func TestDamagedRecordIsNoObstacle(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "life.json"), []byte(`{"name":"x`), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openRecord(dir, zerolog.Nop())
	if err != nil || r.Name != "" {
		t.Errorf("%+v, %v", r, err)
	}
	r.close()
	if r, err = openRecord("/dev/null/nowhere", zerolog.Nop()); err != nil {
		t.Errorf("no folder: %v", err)
	}
	r.begin(time.Now(), "")
	r.close()
}

func TestFailureWaitsGrowAndEnd(t *testing.T) {
	if failureWait(0) != 0 || failureWait(1) != 0 {
		t.Error("the first failure is waited for")
	}
	before := time.Duration(0)
	for failures := 2; failures < 100; failures++ {
		wait := failureWait(failures)
		if wait < before || wait > longestFailureWait || (before < longestFailureWait && wait == before) {
			t.Fatalf("after %d failures %s, before %s", failures, wait, before)
		}
		before = wait
	}
	if before != longestFailureWait {
		t.Errorf("ends at %s", before)
	}
	for range 1000 {
		if d := jittered(time.Minute); d < 30*time.Second || d > time.Minute {
			t.Fatalf("jittered(1m) = %s", d)
		}
	}
}
