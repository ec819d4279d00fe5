package dotenv_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/dotenv"
)

func TestParse(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		want []string
	}{
		"plain":           {"A=1\nB=two words\n", []string{"A=1", "B=two words"}},
		"comments":        {"# A=0\n\n  #B\nC=3 # three\nD=4#4\nE=# nothing\nF=5\t# tab\n", []string{"C=3", "D=4#4", "E=# nothing", "F=5\t# tab"}},
		"escaped quotes":  {`A='it\'s \n'` + "\n" + `B="a\qb\\"` + "\n", []string{`A=it's \n`, `B=a\qb\`}},
		"dollars":         {`A=a$$b$1` + "\n" + `B="\$x $$y"` + "\n", []string{"A=a$b$1", "B=$x $y"}},
		"blanks":          {"A=\u00a01 \v\n", []string{"A=1"}},
		"quotes":          {"A='$one # \\n'\nB=\"a\\tb\\\"c\\$d\" # comment\n", []string{"A=$one # \\n", "B=a\tb\"c$d"}},
		"several lines":   {"K=\"-----BEGIN\nline\n-----END\"\nB=1\n", []string{"K=-----BEGIN\nline\n-----END", "B=1"}},
		"Windows":         {"\ufeffA=1\r\nB=\"2\"\r\n", []string{"A=1", "B=2"}},
		"export, spaces":  {"export A=1\n  B =  2  \n", []string{"A=1", "B=2"}},
		"no last newline": {"A=1", []string{"A=1"}},
		"the last counts": {"A=1\nB=2\nA=3\n", []string{"B=2", "A=3"}},
		"a name alone":    {"A\nexport C\nB=2\n", []string{"B=2"}},
		"empty":           {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := dotenv.Parse([]byte(row.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Environ(); !slices.Equal(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if got := string(f.Bytes()); got != row.text {
				t.Errorf("written %q, want %q", got, row.text)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\nthis is no variable\n": "line 2 is neither NAME=value nor a comment",
		"A=\"x\ny\nB=1\n":            "line 1 has a quote that is never closed (A)",
		"A='x' secret\n":             "line 1 has something behind the closing quote (A)",
		"A=1\nB=\"1\n2\"\nC=$SECRET": "line 4 has a $ that compose would replace (C): write the value in single quotes",
		"A=\"${SECRET}\"\n":          "line 1 has a $",
		`A=\$SECRET`:                 "line 1 has a $", // escaped within quotes only
		"K=-----BEGIN KEY-----\nsecret\n-----END KEY-----\n": "line 3 belongs to the value of a line before (K)",
		"K=-----BEGIN KEY-----\nMII/secret\n":                "line 2 belongs to the value of a line before (K): write it in one line, with \\n",
		"\xff\xfeA\x00=\x001\x00":                            "is in UTF-16",
		"=secret\n":                                          "line 1 is neither",
	} {
		_, err := dotenv.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		} else if strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("%q: the error tells what stands there: %v", text, err)
		}
	}
}

func TestEdit(t *testing.T) {
	const before = "# The fleet.\r\nexport A=1 # one\r\n#B=old\r\nC='three'\r\nSECRET=x\r\nD=4"
	f, err := dotenv.Parse([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	f.Set("A", "10")
	f.Set("B", "2")
	f.Set("C", "it's # 3")
	f.Unset("SECRET")
	f.Set("E", "5")
	const want = "# The fleet.\r\nexport A=10 # one\r\nB=2\r\nC=\"it's # 3\"\r\n#SECRET=\r\nD=4\r\nE=5\r\n"
	if got := string(f.Bytes()); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	again, err := dotenv.Parse(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again.Environ(), f.Environ()) {
		t.Errorf("read again: %q, want %q", again.Environ(), f.Environ())
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"A=1\n", "A='x\ny'\r\nB=\"\\\"\"", "\ufeff#A=\nA = b # c", "A=$$x"} {
		f.Add([]byte(text), "it's \"$x\" # \\ \n")
	}
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		file, err := dotenv.Parse(data)
		if err != nil {
			return
		}
		if !bytes.Equal(file.Bytes(), data) {
			t.Fatalf("written %q, read %q", file.Bytes(), data)
		}
		others := slices.DeleteFunc(file.Environ(), func(v string) bool { return strings.HasPrefix(v, "NAME=") })
		file.Set("NAME", value)
		again, err := dotenv.Parse(file.Bytes())
		if err != nil {
			t.Fatalf("after Set: %v in %q", err, file.Bytes())
		}
		if got, _ := again.Get("NAME"); got != value && got != strings.TrimSpace(value) {
			t.Fatalf("set %q, read %q from %q", value, got, file.Bytes())
		}
		if got := slices.DeleteFunc(again.Environ(), func(v string) bool { return strings.HasPrefix(v, "NAME=") }); !slices.Equal(got, others) {
			t.Fatalf("Set changed others: %q, before %q", got, others)
		}
		file.Unset("NAME")
		if _, err := dotenv.Parse(file.Bytes()); err != nil {
			t.Fatalf("after Unset: %v in %q", err, file.Bytes())
		}
	})
}

// What another person has written beside a commented-out variable stays.
func TestSetKeepsSentences(t *testing.T) {
	f, err := dotenv.Parse([]byte("# B=1 is for the large ones\nA=1"))
	if err != nil {
		t.Fatal(err)
	}
	f.Set("B", `-----BEGIN\nline\n-----END`)
	if got, want := string(f.Bytes()), "# B=1 is for the large ones\nA=1\nB=-----BEGIN\\nline\\n-----END\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Each kind of line that docker run --env-file takes otherwise than docker compose.
func TestDifferences(t *testing.T) {
	for text, want := range map[string]string{
		"A=1\r\nB=a b#c\r\n":                     "", // CR LF is one line end for both
		"\ufeffA=1\n#B='1'\n\nC\n":               "",
		"A='1'\n":                                "line 1: A: docker run --env-file takes the quotes",
		"A=1\nB=\"x\"\n":                         "line 2: B: docker run --env-file takes the quotes as part of the value|remove them",
		"A='x $y'\n":                             "takes the quotes as part of the value, which docker compose needs|--env",
		"export A=1\n":                           "refuses the whole file: there is export before A",
		"A=1 # one\n":                            "takes the comment behind the value",
		"A= 1\n":                                 "takes the blanks around the value",
		"A=1 \n":                                 "takes the blanks around the value",
		"A =1\n":                                 "refuses the whole file: there is a blank behind A",
		"A=\"1\n2\"\n":                           "A is a value of several lines",
		"A=\"x\\ty\"\n":                          "takes the quotes",
		"A=a$$b\n":                               "docker compose replaces a part of it",
		"A=\xff\n":                               "no UTF-8",
		"A=1\nB=2\nA=3\n":                        "line 3: A stands a second time, with another value",
		"A=1\nA=1\n":                             "",
		"A=" + strings.Repeat("x", 65536) + "\n": "longer than 64 KiB",
	} {
		f, err := dotenv.Parse([]byte(text))
		if err != nil {
			t.Errorf("%.20q: %v", text, err)
			continue
		}
		said := ""
		for _, d := range f.Differences() {
			if d.Remedy == "" {
				t.Errorf("%.20q: no remedy", text)
			}
			said += fmt.Sprintf("line %d: %s|%s\n", d.Line, d.Detail, d.Remedy)
		}
		for part := range strings.SplitSeq(want, "|") {
			if !strings.Contains(said, part) || want == "" && said != "" {
				t.Errorf("%.20q: %q, want %q", text, said, want)
			}
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.env"), filepath.Join(dir, ".env")
	if err := os.WriteFile(path, []byte("A=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.env", link); err != nil {
		t.Fatal(err)
	}
	if err := dotenv.Write(link, []byte("A=2\n")); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "real.env" {
		t.Errorf("the link is %q, %v", target, err)
	}
	data, _ := os.ReadFile(path)
	info, err := os.Stat(path)
	if err != nil || string(data) != "A=2\n" || info.Mode().Perm() != 0o644 {
		t.Errorf("%q, %v, %v", data, info.Mode(), err)
	}
	// A copy of it is its owner's alone; what is given up leaves nothing.
	staged, err := dotenv.Stage(filepath.Join(dir, "copy"), []byte("A=1\n"), dotenv.Placement{OwnerOf: link, Private: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := staged.Commit(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "copy")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	staged, err = dotenv.Stage(path, []byte("A=3\n"), dotenv.Placement{})
	if err != nil {
		t.Fatal(err)
	}
	staged.Discard()
	if data, _ := os.ReadFile(path); string(data) != "A=2\n" {
		t.Errorf("%q", data)
	}
	if err := dotenv.Write(filepath.Join(dir, "nowhere", ".env"), nil); err == nil {
		t.Error("written to a folder that is not there")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".env.new-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
