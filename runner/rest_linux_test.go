package runner

import (
	"slices"
	"testing"
)

func TestUntouchedMappings(t *testing.T) {
	const smaps = `00400000-007d7000 r-xp 00000000 fd:00 17  /usr/local/bin/org-runner
Size:               3932 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
007d7000-00bcd000 r--p 003d7000 fd:00 17  /usr/local/bin/org-runner
Anonymous:             0 kB
00bcd000-00c2b000 rw-p 007cd000 fd:00 17  /usr/local/bin/org-runner
Anonymous:             0 kB
7f0000000000-7f0000004000 r--p 00200000 fd:00 99  /usr/lib/libc.so.6
Size:                 16 kB
Anonymous:            16 kB
7f0000010000-7f0000014000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0  [vdso]
Anonymous:             0 kB
`
	want := []mapping{{0x400000, 0x7d7000}, {0x7d7000, 0xbcd000}}
	if got := untouchedMappings(smaps); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	// What is dropped here is missed by nobody: the test goes on.
	rest()
	if got := untouchedMappings(smaps); !slices.Equal(got, want) {
		t.Errorf("after it: got %x", got)
	}
}
