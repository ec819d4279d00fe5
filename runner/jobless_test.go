//go:build linux

package runner

import (
	"testing"

	"github.com/rs/zerolog"
)

// That no job has run in a container is said by who has the credentials alone, and
// only by a life that has looked.
func TestJoblessIsSigned(t *testing.T) {
	dir := t.TempDir()
	r, err := openRecord(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.key = []byte("what no job has")
	r.Jobless = r.joblessCode()
	if !r.saysJobless() {
		t.Error("our own word is not believed")
	}
	for _, forged := range []string{"", "true", "0000"} {
		if r.Jobless = forged; r.saysJobless() {
			t.Errorf("%q is believed", forged)
		}
	}
	r.Jobless = r.joblessCode()
	if r.key = []byte("another"); r.saysJobless() {
		t.Error("another key's word is believed")
	}

	for name, row := range map[string]struct {
		looked, used, jobless, jobRan, want bool
	}{
		"it ended before it had looked": {},
		"the first one, without a job":  {looked: true, want: true},
		"the first one, with a job":     {looked: true, jobRan: true},
		"jobs have been here":           {looked: true, used: true},
		"lives have, jobs have not":     {looked: true, used: true, jobless: true, want: true},
	} {
		l := &Life{record: r, looked: row.looked, used: row.used, jobless: row.jobless, jobRan: row.jobRan}
		r.Jobless = ""
		if l.noteJobless(); (r.Jobless != "") != row.want {
			t.Errorf("%s: jobless is noted: %t", name, !row.want)
		}
	}
}

// A job that is over without a step counts only where our hook would have told.
func TestStepsAreCountedWhereOurHookIsCalled(t *testing.T) {
	for name, row := range map[string]struct {
		hook, other bool
		unanswered  error
		want        int
	}{
		"our hook":           {hook: true, want: 1},
		"no hook":            {},
		"another one's":      {hook: true, other: true},
		"there is no socket": {hook: true, unanswered: ErrInternal},
	} {
		l := &Life{record: &record{}, otherHook: row.other, unanswered: row.unanswered}
		l.Log, l.Home = zerolog.Nop(), t.TempDir()
		if row.hook {
			l.Hook = "/hook"
		}
		l.noteSteps(failed, l.began)
		if l.record.Stepless != row.want {
			t.Errorf("%s: %d", name, l.record.Stepless)
		}
	}
}
