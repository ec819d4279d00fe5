package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// parser collects the problems while it fills the configuration.
type parser struct {
	raw       raw
	machine   Machine
	set       map[string]string // the environment without its empty variables
	strangers []stranger
	config    Config
	problems  Problems
	settled   map[string]bool // variables with a problem that explains all others
}

func (p *parser) problem(variable, cause, remedy string) {
	if !p.settled[variable] {
		p.problems = append(p.problems, Problem{variable, cause, remedy})
	}
}

func (p *parser) warn(format string, values ...any) {
	p.config.Warnings = append(p.config.Warnings, fmt.Sprintf(format, values...))
}

// sorted brings the problems into the order of the table of variables.
func (p Problems) sorted() Problems {
	sort.SliceStable(p, func(i, k int) bool {
		return slices.Index(names(), p[i].Variable) < slices.Index(names(), p[k].Variable)
	})
	return p
}

// tidy finds what goes wrong with values of any variable: the quotes of an env
// file, and a credential where none belongs. Secrets are read elsewhere.
func (p *parser) tidy() {
	for _, v := range Variables() {
		value := p.set[v.Name]
		if v.Secret {
			continue
		}
		if inner, quoted := unquote(value); quoted {
			p.problem(v.Name, "has quotes around its value: "+quote(value), quotesRemedy)
			if value = strings.TrimSpace(inner); value == "" {
				delete(p.set, v.Name)
				continue
			}
			p.set[v.Name] = value
		}
		switch {
		case !strings.ContainsAny(value, "_@") && !strings.Contains(value, "-----"): // nearly all
		case !hasCredential().MatchString(value):
		case strings.HasSuffix(v.Name, "_FILE"):
			p.problem(v.Name, "holds a credential, not the path of a file", "set "+strings.TrimSuffix(v.Name, "_FILE")+" to it, or write it to a file and set "+v.Name+" to the file's path")
			p.settled[v.Name] = true
		default:
			p.problem(v.Name, "has a credential in it, which would be shown", "remove it: credentials have variables of their own, as GITHUB_TOKEN")
			p.settled[v.Name] = true
		}
	}
}

const quotesRemedy = "remove them: docker run --env-file takes quotes as part of the value"

// unquote takes the quotes off a value that is within them.
func unquote(value string) (inner string, quoted bool) {
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		return value[1 : len(value)-1], true
	}
	return value, false
}

// hasCredential knows GitHub's tokens by their prefixes (GitHub's "About
// authentication"), private keys, and what stands before the @ of an address,
// which is more than ssh://git@. It is compiled when it is first wanted.
var hasCredential = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{8,}|-----BEGIN(?s:.*)|://[^@]{4,}@`)
})

// quote shows a value of a variable that should hold no secret, whatever is in
// it.
func quote(value string) string {
	const longest = 80
	value = hasCredential().ReplaceAllString(value, secret.Redacted)
	if utf8.RuneCountInString(value) > longest {
		value = string([]rune(value)[:longest]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

// cause is the part of a path error that does not repeat the path.
func cause(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// isName tells whether text could be the name of an account, repository,
// enterprise or runner at GitHub.
func isName(text string) bool {
	return text != "" && text != "." && text != ".." && !strings.ContainsFunc(text, func(r rune) bool { return !isWord(r) && r != '.' })
}

// boolean reads true or false and nothing that only looks like them: EPHEMERAL=0
// must not be taken for true, nor EPHEMERAL=ture for false.
func (p *parser) boolean(variable, value string) bool {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	}
	p.problem(variable, "is "+quote(value)+", which is neither true nor false", "set it to true or false")
	p.settled[variable] = true
	return false
}

func (p *parser) oneOf(variable, value string, allowed ...string) string {
	if lower := strings.ToLower(value); slices.Contains(allowed, lower) {
		return lower
	}
	p.problem(variable, "is "+quote(value), "set it to "+strings.Join(allowed[:len(allowed)-1], ", ")+" or "+allowed[len(allowed)-1])
	return ""
}

// duration reads Go's notation. Zero is allowed where zero says so.
func (p *parser) duration(variable, value string, least, most time.Duration, zero bool) time.Duration {
	d, err := time.ParseDuration(value)
	switch {
	case err != nil && isDigits(value) && len(value) < 7:
		p.problem(variable, "is "+quote(value)+", which has no unit", "write "+value+"s for seconds")
	case err != nil:
		p.problem(variable, "is "+quote(value)+", which is no duration", "write it as in 90s, 15m or 1h30m")
	case zero && d == 0:
		return 0
	case d < least || d > most:
		remedy := fmt.Sprintf("set it to between %s and %s", short(least), short(most))
		if zero {
			remedy += ", or to 0 for never"
		}
		p.problem(variable, "is "+quote(value), remedy)
	}
	return d
}

// short prints 15m0s as 15m.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func isDigits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '0' || r > '9' })
}
