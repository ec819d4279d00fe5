package register

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// Credentials are what calls are authorized with: Token or App.
type Credentials interface {
	kind() string
	use(*Client)
	// token returns what goes into Authorization.
	token(ctx context.Context) (secret.String, error)
	// renew tells whether another token than the refused one can be had.
	renew(refused secret.String) bool
}

// Token is a classic or fine-grained personal access token, or an OAuth token.
func Token(token secret.String) Credentials { return fixed(token) }

type fixed secret.String

func (fixed) kind() string                                   { return "token" }
func (fixed) use(*Client)                                    {}
func (f fixed) token(context.Context) (secret.String, error) { return secret.String(f), nil }
func (fixed) renew(secret.String) bool                       { return false }

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
// needed and kept until shortly before they expire.
type App struct {
	id           string
	key          *rsa.PrivateKey
	installation int64

	client *Client

	mu      sync.Mutex
	current secret.String
	expires time.Time
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
	return &App{id: id, key: parsed, installation: installation}, nil
}

func (a *App) kind() string  { return "App" }
func (a *App) use(c *Client) { a.client = c }

func (a *App) token(ctx context.Context) (secret.String, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.current.IsZero() && time.Now().Before(a.expires.Add(-renewBefore)) {
		return a.current, nil
	}
	if a.installation == 0 {
		id, err := a.lookUp(ctx)
		if err != nil {
			return secret.String{}, err
		}
		a.installation = id
	}
	var out struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	path := fmt.Sprintf("/app/installations/%d/access_tokens", a.installation)
	if err := a.call(ctx, http.MethodPost, path, &out); err != nil {
		if errors.Is(err, ErrNotFound) {
			return secret.String{}, fmt.Errorf("%w: the App has no installation %d: correct GITHUB_APP_INSTALLATION_ID, or leave it empty: it is looked up: %w", ErrConfiguration, a.installation, err)
		}
		return secret.String{}, err
	}
	a.current, a.expires = secret.New(out.Token), out.ExpiresAt
	a.client.options.Secret(a.current)
	return a.current, nil
}

// renew forgets a token that GitHub has refused before its time: revoked, or the
// installation was changed.
func (a *App) renew(refused secret.String) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current.Reveal() == refused.Reveal() {
		a.current = secret.String{}
	}
	return true
}

// lookUp finds the App's installation for the scope.
func (a *App) lookUp(ctx context.Context) (int64, error) {
	scope := a.client.options.Scope
	if scope.kind == "enterprise" {
		return 0, fmt.Errorf("%w: a GitHub App cannot manage an enterprise's runners: use GITHUB_TOKEN with the scope manage_runners:enterprise", ErrConfiguration)
	}
	var out struct{ ID int64 }
	err := a.call(ctx, http.MethodGet, scope.path()+"/installation", &out)
	var refusal *Error
	if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
		refusal.Remedy = fmt.Sprintf("the App is not installed for the %s: install it there (App settings, Install App), or correct the target's name", scope)
	}
	return out.ID, err
}

// call is one call as the App itself.
func (a *App) call(ctx context.Context, method, path string, out any) error {
	token, err := a.jwt()
	if err != nil {
		return err
	}
	return a.client.decode(ctx, token, method, path, out)
}

func (a *App) jwt() (secret.String, error) {
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    a.id,
		IssuedAt:  jwt.NewNumericDate(now.Add(-jwtBackdate)),
		ExpiresAt: jwt.NewNumericDate(now.Add(jwtLife - jwtBackdate)),
	}).SignedString(a.key)
	if err != nil {
		return secret.String{}, fmt.Errorf("%w: GITHUB_APP_PRIVATE_KEY cannot sign: it is too short: generate a new one", ErrConfiguration)
	}
	token := secret.New(signed)
	a.client.options.Secret(token)
	return token, nil
}
