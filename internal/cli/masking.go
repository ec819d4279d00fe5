package cli

import (
	"io"
	"net/http"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/internal/secret"
)

// masking gives a call its masker, which everything passes that the call prints:
// what GitHub, or a proxy before it, answers may repeat what was sent there.
func (call Invocation) masking() Invocation {
	call.masker = &secret.Masker{}
	call.Stdout, call.Stderr = call.masker.Writer(call.Stdout), call.masker.Writer(call.Stderr)
	return call
}

// know makes the masker know secrets.
func (call Invocation) know(secrets []secret.String) {
	for _, s := range secrets {
		call.masker.Add(s)
	}
}

// parse reads the configuration, and makes the masker know the secrets that were
// read from files.
func (call Invocation) parse(machine config.Machine) (config.Config, error) {
	c, err := config.Parse(call.Environ, machine)
	call.know(c.Secrets)
	return c, err
}

// unmasked is the stream behind the masker, for a program that gets it as its own.
func unmasked(w io.Writer) io.Writer {
	if masking, ok := w.(interface{ Unwrap() io.Writer }); ok {
		return masking.Unwrap()
	}
	return w
}

// maskedHandler makes all that a handler writes pass through the masker. Each
// Write is masked by itself; ours write whole documents.
func maskedHandler(masker *secret.Masker, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(maskedResponse{w, masker.Writer(w)}, r)
	})
}

type maskedResponse struct {
	http.ResponseWriter
	body io.Writer
}

func (w maskedResponse) Write(p []byte) (int, error) { return w.body.Write(p) }
