package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/text"
)

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"build (1.26, é, 日本, 👩‍👩‍👧)": "build (1.26, é, 日本, 👩‍👩‍👧)",
		"":                                "",
		"\x1b[2J\x1b]0;owned\x07":         `\x1b[2J\x1b]0;owned\x07`,
		"a\r\nb\tc\x00\x7f":               `a\r\nb\tc\x00\x7f`,
		"\u009b31m\u0085":                 `\u009b31m\u0085`,
		"\u202egnp.exe\u2066\u200e\ufeff": `\u202egnp.exe\u2066\u200e\ufeff`,
		"a\u2028b\u2029":                  `a\u2028b\u2029`,
		"\xff\xc3(":                       `\xff\xc3(`,
		"\U000e0041":                      `\U000e0041`,
		"�":                               "�",
		strings.Repeat("é", 300):          strings.Repeat("é", 255) + "…",
		strings.Repeat("é", 256):          strings.Repeat("é", 256),
		strings.Repeat("\x1b", 300):       strings.Repeat(`\x1b`, 63) + "…",
	} {
		if got := text.Name(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := text.Lines("a\n  b\x1b\r\n\u202e"); got != "a\n  b\\x1b\\r\n\\u202e" {
		t.Errorf("%q", got)
	}
}

func FuzzName(f *testing.F) {
	f.Add("a\x1b\u202e\xff…")
	f.Fuzz(func(t *testing.T, in string) {
		got := text.Name(in)
		if utf8.RuneCountInString(got) > text.LongestName || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		if again := text.Name(got); again != got {
			t.Fatalf("%q, then %q", got, again)
		}
		for i, r := range got {
			if !text.Visible(r, utf8.RuneLen(r)) {
				t.Fatalf("%q at %d", got, i)
			}
		}
	})
}
