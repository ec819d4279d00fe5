package register

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Caller is who GitHub takes us for.
type Caller struct {
	Login       string            // the user's, or the App's slug
	Kind        string            // classic token, fine-grained token or App
	Scopes      []string          // of a classic token
	Permissions map[string]string // of an App's installation: read or write, by GitHub's names
	Expires     time.Time         // of a token; zero when GitHub does not tell
	ClockSkew   time.Duration     // how far our clock is ahead of GitHub's, which tells whole seconds
}

// Caller asks GitHub who the credentials belong to. Of an App it asks for an
// installation token too, which says what the installation may do.
func (c *Client) Caller(ctx context.Context) (Caller, error) {
	caller := Caller{Kind: c.options.Credentials.kind()}
	if app, ok := c.options.Credentials.(*App); ok {
		slug, a, err := app.describe(ctx)
		if err != nil {
			return Caller{}, err
		}
		caller.Login, caller.ClockSkew = slug, time.Since(a.clock())
		caller.Permissions, err = app.granted(ctx)
		return caller, err
	}
	var user struct{ Login string }
	a, err := c.do(ctx, http.MethodGet, "/user", nil, &user)
	if err != nil {
		return Caller{}, err
	}
	caller.Login, caller.ClockSkew = user.Login, time.Since(a.clock())
	caller.Kind = "fine-grained token"
	if has, told := a.header["X-Oauth-Scopes"]; told {
		caller.Kind = "classic token"
		caller.Scopes = strings.FieldsFunc(strings.Join(has, ","), func(r rune) bool { return r == ',' || r == ' ' })
	}
	caller.Expires = expiration(a.header.Get("Github-Authentication-Token-Expiration"))
	return caller, nil
}

// expiration reads GitHub's header of that name, which comes in two forms; zero
// if it is not there.
func expiration(text string) time.Time {
	for _, form := range []string{"2006-01-02 15:04:05 MST", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	return time.Time{}
}

// Account is what GitHub tells of an organization.
type Account struct {
	Login string `json:"login"`
	Name  string `json:"name"`
	Type  string `json:"type"`
}

// Organization asks for the organization of the scope.
func (c *Client) Organization(ctx context.Context) (Account, error) {
	var o Account
	_, err := c.do(ctx, http.MethodGet, c.options.Scope.path(), nil, &o)
	return o, err
}

// RunnerPolicy tells which repositories of the organization, of the scope or that
// its repository belongs to, may have runners of their own: all, selected or none.
// It is ErrNotFound where a person owns the repository.
func (c *Client) RunnerPolicy(ctx context.Context) (string, error) {
	var out struct {
		Enabled string `json:"enabled_repositories"`
	}
	owner, _, _ := strings.Cut(c.options.Scope.name, "/")
	_, err := c.do(ctx, http.MethodGet, "/orgs/"+owner+"/actions/permissions/self-hosted-runners", nil, &out)
	return out.Enabled, err
}

// RateLimit is what is left of the primary limit until its reset.
type RateLimit struct {
	Limit, Remaining int
	Reset            time.Time
}

// RateLimit asks for the limit of REST calls; the question itself is free.
func (c *Client) RateLimit(ctx context.Context) (RateLimit, error) {
	var out struct {
		Resources struct {
			Core struct {
				Limit     int   `json:"limit"`
				Remaining int   `json:"remaining"`
				Reset     int64 `json:"reset"`
			} `json:"core"`
		} `json:"resources"`
	}
	_, err := c.do(ctx, http.MethodGet, "/rate_limit", nil, &out)
	core := out.Resources.Core
	return RateLimit{core.Limit, core.Remaining, time.Unix(core.Reset, 0)}, err
}

// Download is the newest official runner for one system.
type Download struct {
	OS           string `json:"os"`           // linux, osx, win
	Architecture string `json:"architecture"` // x64, arm64, arm
	Filename     string `json:"filename"`     // actions-runner-linux-x64-2.336.0.tar.gz
}

// Version is the version in the file's name, "" if there is none.
func (d Download) Version() string {
	name := strings.TrimSuffix(strings.TrimSuffix(d.Filename, ".zip"), ".tar.gz")
	return name[strings.LastIndexByte(name, '-')+1:]
}

// Downloads lists the newest runners that GitHub hands out.
func (c *Client) Downloads(ctx context.Context) ([]Download, error) {
	var out []Download
	_, err := c.do(ctx, http.MethodGet, c.runners()+"/downloads", nil, &out)
	return out, err
}

// Deprecation says from when on GitHub refuses a version of the runner; nil is
// not yet decided.
type Deprecation struct {
	Registration *time.Time `json:"registration_deprecates_at"`
	Runtime      *time.Time `json:"runtime_deprecates_at"`
}

// First is the earlier of the two, nil if there is none yet.
func (d Deprecation) First() *time.Time {
	if d.Registration == nil || d.Runtime != nil && d.Runtime.Before(*d.Registration) {
		return d.Runtime
	}
	return d.Registration
}

// Deprecation asks for the dates of one version. It is ErrNotFound where the
// server does not know the call.
func (c *Client) Deprecation(ctx context.Context, version string) (Deprecation, error) {
	var out Deprecation
	_, err := c.do(ctx, http.MethodGet, c.runners()+"/deprecations/"+url.PathEscape(version), nil, &out)
	return out, err
}
