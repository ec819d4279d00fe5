package secret_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/secret"
)

const text = "ghp_0123456789abcdef/+ \"x\""

func TestSecretIsRedactedInEveryFormat(t *testing.T) {
	s := secret.New(text)
	type holder struct {
		Exported secret.String
		private  secret.String
	}
	h := holder{s, s}
	asJSON, err := json.Marshal(map[string]any{"secret": s, "holder": h})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{string(asJSON), fmt.Errorf("wrapped: %w", fmt.Errorf("%v", s)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10s"} {
		printed = append(printed, fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s), fmt.Sprintf(verb, h), fmt.Sprintf(verb, []secret.String{s}))
	}
	for _, p := range printed {
		if strings.Contains(p, "0123456789") || strings.Contains(p, "3031323334") {
			t.Errorf("the secret shows in %q", p)
		}
	}
	if s.Reveal() != text {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}

func TestZero(t *testing.T) {
	if !secret.New("").IsZero() || secret.New("").Reveal() != "" {
		t.Error("the empty text is not the zero secret")
	}
	if secret.New("x").IsZero() {
		t.Error("a secret of one byte is taken for none")
	}
}

func TestMaskerHidesEverySpelling(t *testing.T) {
	key := "-----BEGIN KEY-----\nMIIEowIBAAKCAQEAline1\nMIIEowIBAAKCAQEAline2\n-----END KEY-----\n"
	var masker secret.Masker
	masker.Add(secret.New(text))
	masker.Add(secret.New("prefix"))
	masker.Add(secret.New("prefix-and-more"))
	masker.Add(secret.New(key))

	quoted, _ := json.Marshal(map[string]string{"a": text, "key": key})
	for name, in := range map[string]string{
		"plain":     "token " + text,
		"JSON":      string(quoted),
		"quoted":    fmt.Sprintf("%q", text),
		"query":     "https://x/?t=ghp_0123456789abcdef%2F%2B+%22x%22",
		"base64":    "Z2hwXzAxMjM0NTY3ODlhYmNkZWYvKyAieCI=",
		"longer":    "prefix-and-more",
		"key line":  "MIIEowIBAAKCAQEAline2",
		"whole key": key,
	} {
		var out strings.Builder
		n, err := fmt.Fprint(masker.Writer(&out), in)
		if err != nil || n != len(in) {
			t.Errorf("%s: Write = %d, %v; want %d", name, n, err, len(in))
		}
		for _, leak := range []string{"0123456789", "and-more", "MIIEow", "Z2hwXz"} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%s: %q still contains %q", name, out.String(), leak)
			}
		}
		if !strings.Contains(out.String(), secret.Redacted) {
			t.Errorf("%s: nothing is masked in %q", name, out.String())
		}
	}
	if got := masker.Mask("harmless"); got != "harmless" {
		t.Errorf("a harmless text became %q", got)
	}
}

// A text that is cut in the middle of a secret tells none of it.
func TestMaskerHidesWhatIsCut(t *testing.T) {
	var masker secret.Masker
	masker.Add(secret.New("ghp_0123456789abcdef"))
	for in, want := range map[string]string{
		"a ghp_0123456…":             "a " + secret.Redacted + "…",
		"ghp_0… and ghp_0123456789…": secret.Redacted + "… and " + secret.Redacted + "…",
		"ghp_0123456 whole":          "ghp_0123456 whole", // no beginning that was cut: somebody's own word
		"a cut word… and ghp_…":      "a cut word… and ghp_…",
		"ghp_0123456789abcdef…":      secret.Redacted + "…",
		"no secret is in this text…": "no secret is in this text…",
		"ghp_0ghp_0ghp_01…":          "ghp_0ghp_0" + secret.Redacted + "…",
		"p_0123456789abcdef…":        "p_0123456789abcdef…",
	} {
		if got := masker.Mask(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestMaskerWithoutSecretsChangesNothing(t *testing.T) {
	var masker secret.Masker
	masker.Add(secret.New("abc")) // too short to be masked
	if got := masker.Mask("abcdef"); got != "abcdef" {
		t.Errorf("got %q", got)
	}
}
