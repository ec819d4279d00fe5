package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/virtuoso902/org-runner/internal/secret"
)

// What METRICS_ADDR and the monitor serve passes the masker, and keeps its status
// and headers.
func TestMaskedHandler(t *testing.T) {
	masker := &secret.Masker{}
	masker.Add(secret.New("ghp_hush-hush-hush"))
	server := httptest.NewServer(maskedHandler(masker, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, `job{name="ghp_hush-hush-hush"} 1`)
		fmt.Fprintln(w, "job ghp_hush…")
	})))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Content-Type") != "text/plain" || string(body) != "job{name=\"[redacted]\"} 1\njob [redacted]…\n" {
		t.Errorf("%v, %d %v, %q", err, response.StatusCode, response.Header, body)
	}
}

// Behind the masker a stream is what it was: who asks for a terminal, or hands it
// to another program, gets the file.
func TestUnmasked(t *testing.T) {
	call := Invocation{Stdout: os.Stdout, Stderr: &strings.Builder{}}.masking()
	if unmasked(call.Stdout) != io.Writer(os.Stdout) || unmasked(os.Stderr) != io.Writer(os.Stderr) {
		t.Error("a stream became another")
	}
	if isTerminal(call.Stdout) != isTerminal(os.Stdout) || isTerminal(call.Stderr) {
		t.Error("a terminal is not known behind the masker")
	}
}
