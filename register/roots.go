package register

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// roots are where the authorities are that we trust: the first file that holds
// one, and all files of the folders.
type roots struct{ files, folders []string }

// systemRoots are the places of Go's crypto/x509 on Linux, where SSL_CERT_FILE
// and SSL_CERT_DIR say nothing else. Other systems keep their own in a way that
// only Go's own verifier reads; it reads them once too.
func systemRoots(getenv func(string) string) (r roots) {
	if runtime.GOOS == "linux" {
		r.files = []string{
			"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
			"/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
		}
		r.folders = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
	}
	if file := getenv("SSL_CERT_FILE"); file != "" {
		r.files = []string{file}
	}
	if folders := getenv("SSL_CERT_DIR"); folders != "" {
		r.folders = strings.Split(folders, ":")
	}
	return r
}

// read reads all of them; nil for those of the system where it has no place of
// its own for them. The folders mostly hold the certificates of the bundle again,
// so only what is new is parsed: it is the parsing that takes time.
func (r roots) read() *x509.CertPool {
	if len(r.files)+len(r.folders) == 0 {
		return nil
	}
	pool, known := x509.NewCertPool(), map[[sha256.Size]byte]bool{}
	for _, file := range r.files {
		if data, err := os.ReadFile(file); err == nil && addNew(pool, known, data) {
			break
		}
	}
	for _, folder := range r.folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if entry.Type()&^fs.ModeSymlink != 0 || isNamesake(folder, entry) {
				continue
			}
			if data, err := os.ReadFile(filepath.Join(folder, entry.Name())); err == nil {
				addNew(pool, known, data)
			}
		}
	}
	return pool
}

// addNew adds the certificates of data if one of them is not known yet, by its
// text, and tells whether data has any.
func addNew(pool *x509.CertPool, known map[[sha256.Size]byte]bool, data []byte) (any bool) {
	fresh := false
	for rest := data; ; {
		_, body, found := bytes.Cut(rest, []byte("-----BEGIN CERTIFICATE-----"))
		if !found {
			break
		}
		body, rest, _ = bytes.Cut(body, []byte("-----END CERTIFICATE-----"))
		sum := sha256.Sum256(body)
		any, fresh, known[sum] = true, fresh || !known[sum], true
	}
	if fresh {
		return pool.AppendCertsFromPEM(data)
	}
	return any
}

// isNamesake tells whether an entry is a link to another one of its folder, as
// the hashed names of OpenSSL are.
func isNamesake(folder string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := os.Readlink(filepath.Join(folder, entry.Name()))
	return err == nil && !strings.Contains(target, "/")
}
