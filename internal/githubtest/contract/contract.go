// Package contract holds the calls that a fake GitHub has seen against GitHub's
// own OpenAPI description: what our client asked, and what the fake answered. It
// is for tests alone, so that no program links an OpenAPI implementation.
package contract

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

//go:embed testdata/contract.json
var description []byte

var document = sync.OnceValues(func() (*openapi3.T, error) {
	d, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	return d, d.Validate(context.Background())
})

// Check holds every call that the server has seen by the test's end against the
// description, and fails the test for each that breaks it.
func Check(t testing.TB, s *githubtest.Server) {
	t.Helper()
	t.Cleanup(func() {
		for _, c := range s.Calls("") {
			for _, err := range Violations(c) {
				t.Errorf("%s %s: %v", c.Method, c.Path, err)
			}
		}
	})
}

// Violations says how a call breaks GitHub's description, in its request and in
// its answer. The answers of injected faults, and codes that GitHub gives
// without describing them, are not checked.
func Violations(c githubtest.Call) []error {
	d, err := document()
	if err != nil {
		return []error{err}
	}
	input, err := requestOf(d, c)
	if err != nil {
		return []error{err}
	}
	var found []error
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		found = append(found, fmt.Errorf("the request: %w", err))
	}
	for name := range input.QueryParams {
		if input.Route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			found = append(found, fmt.Errorf("the request: there is no query parameter %q", name))
		}
	}
	if c.Injected || c.Status == 0 || undescribed(input.Route.Operation, c.Status) {
		return found
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: c.Status, Header: c.Response.Header, Body: io.NopCloser(strings.NewReader(string(c.Response.Body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		found = append(found, fmt.Errorf("the answer %d: %w", c.Status, err))
	}
	return found
}

// undescribed tells whether GitHub gives a code to this operation although its
// description does not have it.
func undescribed(o *openapi3.Operation, status int) bool {
	if o.Responses.Status(status) != nil {
		return false
	}
	return status >= 500 || slices.Contains([]int{http.StatusNotModified, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusGone, http.StatusTooManyRequests}, status)
}

// requestOf makes the request of a call again, with its operation.
func requestOf(d *openapi3.T, c githubtest.Call) (*openapi3filter.RequestValidationInput, error) {
	address, err := url.Parse("http://github.example" + c.Path)
	if err != nil {
		return nil, err
	}
	path, item, parameters := find(d, address.EscapedPath())
	if item == nil {
		return nil, errors.New("GitHub's description has no such path")
	}
	operation := item.GetOperation(c.Method)
	if operation == nil {
		return nil, errors.New("GitHub's description has no such method of this path")
	}
	header := c.Request.Header.Clone()
	if len(c.Request.Body) > 0 && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json") // GitHub takes nothing else
	}
	request, err := http.NewRequest(c.Method, address.String(), strings.NewReader(string(c.Request.Body)))
	if err != nil {
		return nil, err
	}
	request.Header = header
	return &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, QueryParams: address.Query(),
		Route:   &routers.Route{Spec: d, Path: path, PathItem: item, Method: c.Method, Operation: operation},
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}, nil
}

// find returns the path of the description that an address is of: the one with
// the fewest parameters, so that /runners/downloads is no runner's id.
func find(d *openapi3.T, address string) (path string, item *openapi3.PathItem, parameters map[string]string) {
	for candidate, i := range d.Paths.Map() {
		values, ok := match(candidate, address)
		if ok && (item == nil || len(values) < len(parameters)) {
			path, item, parameters = candidate, i, values
		}
	}
	return path, item, parameters
}

func match(pattern, address string) (map[string]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(address, "/")
	if len(want) != len(got) {
		return nil, false
	}
	values := map[string]string{}
	for i := range want {
		if strings.HasPrefix(want[i], "{") && got[i] != "" {
			value, err := url.PathUnescape(got[i])
			if err != nil {
				return nil, false
			}
			values[strings.Trim(want[i], "{}")] = value
		} else if want[i] != got[i] {
			return nil, false
		}
	}
	return values, true
}
