//go:build linux

package reset

import (
	"slices"
	"testing"
)

func TestParseMounts(t *testing.T) {
	all := parseMounts(`141 116 0:40 / / rw,relatime master:3 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
150 141 254:0 /volumes/v/_data /home/runner rw,relatime - ext4 /dev/vda rw,discard
151 150 254:0 /srv/a\040b\011c\012d\134e /home/runner/_work/a\040b\011c\012d\134e ro,relatime shared:1 master:2 - ext4 /dev/vda rw
152 141 0:59 / /tmp rw,nosuid - tmpfs tmpfs ro
153 141 0:60 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1k
not a line
`)
	want := []mount{
		{141, "/", false, "overlay"},
		{150, "/home/runner", false, "ext4"},
		{151, "/home/runner/_work/a b\tc\nd\\e", true, "ext4"},
		{152, "/tmp", true, "tmpfs"},
		{153, "/tmp", false, "tmpfs"},
	}
	if !slices.Equal(all, want) {
		t.Errorf("got %+v", all)
	}
	if points := mountsBelow(all, "/home/runner"); !slices.Equal(points, []string{want[2].point}) {
		t.Errorf("below the home: %q", points)
	}
	if points := mountsBelow(all, "/"); len(points) != 4 {
		t.Errorf("below /: %q", points)
	}
	for text, want := range map[string]string{`a\04`: `a\04`, `\`: `\`, `a\999b`: `a\999b`, `\040\040`: "  "} {
		if got := unescape(text); got != want {
			t.Errorf("unescape(%q) = %q", text, got)
		}
	}
	if len(mounts()) == 0 {
		t.Error("nothing is mounted here")
	}
}
