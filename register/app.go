package register

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/virtuoso902/org-runner/internal/secret"
)

const (
	// jwtLife is how long an App's JWT is good: GitHub takes 10 minutes at the
	// most, counted on its own clock.
	jwtLife = 9 * time.Minute
	// jwtBackdate allows for a clock that is ahead of GitHub's (its own advice).
	jwtBackdate = time.Minute
	// renewBefore is how long before its end an installation token is renewed.
	renewBefore = 5 * time.Minute
)

// App is a GitHub App. Its installation tokens are requested when they are
// needed and kept until shortly before they expire. An App serves one client.
type App struct {
	id     string
	key    *rsa.PrivateKey
	client *Client

	// turn holds one value; who takes it owns the fields below. Not a mutex,
	// because waiting for another call's token must end with the own context.
	turn         chan struct{}
	installation int64 // 0: not known yet
	current      secret.String
	expires      time.Time
	permissions  map[string]string // that GitHub has named with current
}

// NewApp takes an App's id or client id, its private key (PEM, PKCS#1 or
// PKCS#8) and its installation, 0 to look that up. No error of it holds a part
// of the key.
func NewApp(id string, key secret.String, installation int64) (*App, error) {
	parsed, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(key.Reveal()))
	if err != nil {
		// Not %w: what a parser stumbled on is a part of the key.
		return nil, fmt.Errorf("%w: GITHUB_APP_PRIVATE_KEY is no RSA private key in PEM: use the downloaded .pem file whole", ErrConfiguration)
	}
	a := &App{id: id, key: parsed, installation: installation, turn: make(chan struct{}, 1)}
	a.turn <- struct{}{}
	return a, nil
}

func (a *App) kind() string  { return "App" }
func (a *App) use(c *Client) { a.client = c }

func (a *App) token(ctx context.Context) (secret.String, error) {
	select {
	case <-a.turn:
		defer func() { a.turn <- struct{}{} }()
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return secret.String{}, fmt.Errorf("%w: another call was requesting the App's token: %w", ErrUnreachable, context.Cause(ctx))
		}
		return secret.String{}, context.Cause(ctx)
	}
	if !a.current.IsZero() && time.Now().Before(a.expires.Add(-renewBefore)) {
		return a.current, nil
	}
	if err := a.lookUp(ctx); err != nil {
		return secret.String{}, err
	}
	var out struct {
		Token       string            `json:"token"`
		ExpiresAt   time.Time         `json:"expires_at"`
		Permissions map[string]string `json:"permissions"`
	}
	path := fmt.Sprintf("/app/installations/%d/access_tokens", a.installation)
	answer, err := a.call(ctx, http.MethodPost, path, &out,
		fmt.Sprintf("the App has no installation %d: correct GITHUB_APP_INSTALLATION_ID, or leave it empty: it is looked up", a.installation))
	if err == nil && out.Token == "" {
		err = malformed(http.MethodPost, path, answer)
	}
	if err != nil {
		return secret.String{}, err
	}
	a.current, a.expires, a.permissions = secret.New(out.Token), out.ExpiresAt, out.Permissions
	a.client.options.Secret(a.current)
	return a.current, nil
}

// granted tells what the installation may do: read or write, by GitHub's names.
func (a *App) granted(ctx context.Context) (map[string]string, error) {
	if _, err := a.token(ctx); err != nil {
		return nil, err
	}
	select {
	case <-a.turn:
		defer func() { a.turn <- struct{}{} }()
		return a.permissions, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// renew forgets a token that GitHub has refused before its time: revoked, or the
// installation was changed. While another call has its turn, that one's token is
// the new one.
func (a *App) renew(refused secret.String) bool {
	select {
	case <-a.turn:
		if a.current.Reveal() == refused.Reveal() {
			a.current = secret.String{}
		}
		a.turn <- struct{}{}
	default:
	}
	return true
}

// lookUp finds the App's installation for the scope, once.
func (a *App) lookUp(ctx context.Context) error {
	scope := a.client.options.Scope
	if scope.kind == "enterprise" {
		return fmt.Errorf("%w: a GitHub App cannot manage an enterprise's runners: use GITHUB_TOKEN with the scope manage_runners:enterprise", ErrConfiguration)
	}
	if a.installation != 0 {
		return nil
	}
	var out struct{ ID int64 }
	path := scope.path() + "/installation"
	answer, err := a.call(ctx, http.MethodGet, path, &out,
		fmt.Sprintf("the App is not installed for the %s: install it there (App settings, Install App), or correct the target's name", scope))
	if err == nil && out.ID == 0 {
		err = malformed(http.MethodGet, path, answer)
	}
	a.installation = out.ID
	return err
}

// describe asks for the App's own name.
func (a *App) describe(ctx context.Context) (slug string, _ *answer, err error) {
	var out struct{ Slug string }
	answer, err := a.call(ctx, http.MethodGet, "/app", &out, "GitHub knows no such App: correct GITHUB_APP_ID")
	return out.Slug, answer, err
}

// call is one call as the App itself; missing is what to do about a 404, which
// says nothing of a runner and so must not look like one that is gone.
func (a *App) call(ctx context.Context, method, path string, out any, missing string) (*answer, error) {
	token, err := a.jwt()
	if err != nil {
		return nil, err
	}
	answer, err := a.client.request(ctx, token, method, path, nil)
	if err != nil {
		return nil, err
	}
	err = a.client.read(ctx, method, path, answer, out)
	var refusal *Error
	if errors.Is(err, ErrNotFound) && errors.As(err, &refusal) {
		refusal.Kind, refusal.Remedy = ErrConfiguration, missing
	}
	return answer, err
}

func (a *App) jwt() (secret.String, error) {
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    a.id,
		IssuedAt:  jwt.NewNumericDate(now.Add(-jwtBackdate)),
		ExpiresAt: jwt.NewNumericDate(now.Add(jwtLife - jwtBackdate)),
	}).SignedString(a.key)
	if err != nil {
		return secret.String{}, fmt.Errorf("%w: GITHUB_APP_PRIVATE_KEY cannot sign: generate a new key in the App's settings", ErrConfiguration)
	}
	token := secret.New(signed)
	a.client.options.Secret(token)
	return token, nil
}
