package register

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// longestAttempt is a little more than the 10 s after which GitHub itself
	// aborts a request.
	longestAttempt = 12 * time.Second
	// shortestAttempt is what a TLS handshake and an answer need on a slow line.
	shortestAttempt = 500 * time.Millisecond
	// longestBody bounds an answer in bytes; a page of 100 runners takes about
	// 100 KiB.
	longestBody = 16 << 20
)

// checkRedirect follows GitHub's redirects of renamed repositories, but never
// with our credentials to another host: net/http drops Authorization for foreign
// domains only, not for a foreign port or scheme. A redirect that would turn a
// write into a GET is not followed.
func checkRedirect(request *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case request.URL.Host != first.URL.Host || request.URL.Scheme != first.URL.Scheme:
		return &Error{Kind: ErrConfiguration, Message: "redirected to another server, " + printable(request.URL.Scheme+"://"+request.URL.Host),
			Remedy: "correct GITHUB_SERVER_URL or GITHUB_API_URL: the credentials are sent nowhere else"}
	case request.Method != first.Method:
		return http.ErrUseLastResponse
	case len(via) >= 5:
		return &Error{Kind: ErrConfiguration, Message: "redirected in a circle", Remedy: "correct GITHUB_API_URL"}
	}
	return nil
}

// attempts is the transport of single attempts: each has a time limit of its
// own, and its answer is read whole, so that what breaks off or is no JSON is a
// failed attempt like any other.
type attempts struct{ next http.RoundTripper }

var errNoAnswer = errors.New("no answer in time")

// RoundTrip gives an attempt a third of what is left of the call's budget, so
// that one that hangs cannot use it up. The body of the response is an
// *inMemory.
func (t *attempts) RoundTrip(request *http.Request) (*http.Response, error) {
	timeout := longestAttempt
	if deadline, ok := request.Context().Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline)/3, shortestAttempt))
	}
	ctx, cancel := context.WithTimeout(request.Context(), timeout)
	defer cancel()
	response, err := t.next.RoundTrip(request.WithContext(ctx))
	var data []byte
	if err == nil {
		defer response.Body.Close()
		if data, err = io.ReadAll(io.LimitReader(response.Body, longestBody+1)); err != nil {
			err = fmt.Errorf("the answer broke off: %w", err)
		}
	}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errNoAnswer
	case err != nil:
		return nil, certificateProblem(err)
	case len(data) > longestBody:
		return nil, errors.New("the answer is endless")
	case response.StatusCode < 300 && response.StatusCode != http.StatusNoContent && !json.Valid(data):
		return nil, errors.New("the answer is no JSON: it did not come from GitHub's API")
	}
	response.Body = &inMemory{bytes.NewReader(data), data}
	return response, nil
}

// inMemory is a body that can be looked at before it is read.
type inMemory struct {
	*bytes.Reader
	data []byte
}

func (*inMemory) Close() error { return nil }

// whole returns what a response of attempts says; it can be asked again.
func whole(response *http.Response) *answer {
	return &answer{status: response.StatusCode, header: response.Header, body: response.Body.(*inMemory).data}
}

// certificateProblem explains the TLS failures that no further attempt can mend,
// and returns every other error as it is.
func certificateProblem(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	e := &Error{Kind: ErrConfiguration}
	switch {
	case errors.As(err, &authority):
		e.Message = "the server's certificate is signed by an authority that this container does not know"
		e.Remedy = "set SSL_CERT_FILE to a file with that authority's certificate"
	case errors.As(err, &host):
		e.Message = printable(host.Error())
		e.Remedy = "correct GITHUB_SERVER_URL or GITHUB_API_URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Message = "the server's certificate is not valid at this machine's time, " + time.Now().UTC().Format(time.RFC3339)
		e.Remedy = "check this machine's clock, then the server's certificate"
	default:
		return err
	}
	return e
}
