package register

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// ErrProxy is a proxy that wants a user, or another one. It is one of the
// credentials (exit code 77), and no further attempt can mend it: it ends a call
// at once. What else a proxy answers may pass.
var ErrProxy error = &special{"the proxy refuses its credentials", ErrCredentials}

// connected judges a proxy's answer to CONNECT (an http.Transport's
// OnProxyConnectResponse). Go itself would keep nothing of it but its words.
func connected(_ context.Context, proxy *url.URL, request *http.Request, response *http.Response) error {
	switch response.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return proxyRefusal(proxy, "https", response.Header)
	}
	return fmt.Errorf("the proxy %s does not lead to %s: %s", printable(proxy.Host), printable(request.Host), printable(response.Status))
}

// proxyRefusal is the error of a 407. It names the user, and never the password.
func proxyRefusal(proxy *url.URL, scheme string, header http.Header) error {
	e := &Error{Status: http.StatusProxyAuthRequired, Kind: ErrProxy}
	if proxy == nil { // a server that answers so of itself
		e.Message, e.Remedy = "Proxy Authentication Required", "check GITHUB_API_URL and HTTPS_PROXY"
		return e
	}
	variable, host := proxyVariable(scheme), printable(proxy.Host)
	ways := strings.Join(header.Values("Proxy-Authenticate"), ", ")
	switch user := proxy.User.Username(); {
	case ways != "" && !strings.Contains(strings.ToLower(ways), "basic"):
		e.Message = fmt.Sprintf("the proxy %s wants another way to log in than Basic: %s", host, printable(ways))
		e.Remedy = "let it take this machine without a login, or run a local proxy that logs in there, and name that one in " + variable
	case user == "":
		e.Message = fmt.Sprintf("the proxy %s wants a user and a password", host)
		e.Remedy = fmt.Sprintf("write them in %s, as in http://USER:PASSWORD@%s", variable, host)
	default:
		e.Message = fmt.Sprintf("the proxy %s refuses the user %s", host, printable(user))
		e.Remedy = "correct the user and the password in " + variable + ", special characters escaped (% as %25, @ as %40)"
	}
	return e
}

// proxyVariable is the one that has named the proxy for a scheme.
func proxyVariable(scheme string) string {
	name := strings.ToUpper(scheme) + "_PROXY"
	if lower := strings.ToLower(name); os.Getenv(name) == "" && os.Getenv(lower) != "" {
		return lower
	}
	return name
}
