package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// proxyVariables are those that name a proxy, in the order in which Go looks.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}

// proxies refuses what Go would pass over in silence, or take for a host's name:
// the requests would go out without the proxy, or nowhere.
func (p *parser) proxies() {
	for _, name := range proxyVariables {
		if value := p.set[name]; value != "" {
			if reason := notAProxy(value); reason != "" {
				p.problem(name, "is no address of a proxy: "+reason, "write it as in http://proxy.example.com:3128, with % signs and the like in a password escaped (%25)")
			}
		}
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		upper, lower := p.set[name], p.set[strings.ToLower(name)]
		if upper != "" && lower != "" && upper != lower {
			p.warn("%s and %s are not the same: org-runner takes the first, the official runner the second. Make them equal, or remove one", name, strings.ToLower(name))
		}
	}
	if p.firstSet([]string{"ALL_PROXY", "all_proxy"}) != "" && p.firstSet(proxyVariables[:2]) == "" {
		p.warn("ALL_PROXY is taken by neither org-runner nor the official runner: set HTTPS_PROXY to it")
	}
}

// notAProxy says why a value is no address of a proxy; "" if it is one. The value
// can hold a password, so nothing of it is shown but a scheme.
func notAProxy(value string) string {
	scheme, rest, hasScheme := strings.Cut(value, "://")
	if !hasScheme {
		rest = value // host:port is http://host:port to everyone
	}
	u, err := url.Parse("http://" + rest)
	switch {
	case hasScheme && !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, strings.ToLower(scheme)):
		return "its scheme is " + quote(scheme) + ", not http, https or socks5"
	case err != nil:
		return "it cannot be read as http://USER:PASSWORD@HOST:PORT"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "it has more than a host and a port"
	case !isHost(u.Hostname()):
		return "it has no host"
	case u.Port() != "" && !isPort(u.Port()):
		return "its port is not a number from 1 to 65535"
	case !hasScheme && u.Port() == "" && !strings.Contains(u.Hostname(), "."):
		return "it is a word without a scheme, a port or a dot"
	}
	return ""
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 65536
}

// isHost tells whether text could be a host's name or address.
func isHost(text string) bool {
	return regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?)$`).MatchString(text)
}

// authorities reads what SSL_CERT_FILE and SSL_CERT_DIR name. A file without any
// leaves every server unknown; folders only add to it.
func (p *parser) authorities() {
	switch file := p.set["SSL_CERT_FILE"]; {
	case file == "":
	case hasCredential().MatchString(file):
		p.problem("SSL_CERT_FILE", "holds a credential, not the path of a file", "set it to the path of the file with the authorities' certificates")
	default:
		p.authorityFile("SSL_CERT_FILE", file)
	}
	folders := p.set["SSL_CERT_DIR"]
	if folders == "" {
		return
	}
	for folder := range strings.SplitSeq(folders, ":") {
		if _, err := os.ReadDir(folder); err == nil {
			return
		}
	}
	p.warn("SSL_CERT_DIR names no folder that can be read: %s. Mount the folder of the authorities' certificates there, or remove SSL_CERT_DIR", quote(folders))
}

func (p *parser) authorityFile(variable, file string) {
	const what = "the authorities' certificates (PEM)"
	data, info, err := p.machine.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.problem(variable, "names a file that does not exist: "+quote(file), "mount "+what+" there, or correct the path: it is one inside of the container. docker compose hands on the "+variable+" of its shell too: unset it there if that is not meant")
	case err != nil:
		p.unreadable(variable, file, what, err)
	case len(bytes.TrimSpace(data)) == 0:
		p.problem(variable, "names an empty file: "+quote(file), "write "+what+" into it")
	case !x509.NewCertPool().AppendCertsFromPEM(data):
		p.problem(variable, "names a file without a certificate: "+quote(file)+noCertificate(data), "name a file of certificates in PEM, with lines -----BEGIN CERTIFICATE-----")
	case info != nil && p.machine.UID == 0 && p.raw.User != "root" && info.Mode().Perm()&0o044 == 0:
		p.warn("%s: %s is readable for root alone, so the runner of user %s does not trust what is in it: give it the mode 0444", variable, quote(file), quote(p.raw.User))
	}
}

// noCertificate says what a file holds instead, where that is known.
func noCertificate(data []byte) string {
	if _, err := x509.ParseCertificate(data); err == nil {
		return ", but one in DER: openssl x509 -inform der makes PEM of it"
	}
	if block, _ := pem.Decode(data); block != nil {
		return ", but with a " + quote(block.Type)
	}
	return ""
}
