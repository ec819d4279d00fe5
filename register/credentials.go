package register

import (
	"context"

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
