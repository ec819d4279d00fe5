package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Fingerprint stands for a configuration: it is another one when a variable, or a
// file that one names, has another content. Jobs can read where it is kept, so it is
// a keyed hash: the key is made of the credentials themselves, which nobody has who
// could use the hash to guess them, and of a salt, without which two containers with
// the same credentials would have the same. more are what else belongs to it.
func Fingerprint(environ []string, salt string, more ...string) string {
	set := toMap(environ)
	key, text := sha256.New(), map[bool][]string{}
	put(key, salt)
	names := make([]string, 0, len(set))
	for name := range set {
		if belongs(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		secret := isSecret(name)
		text[secret] = append(text[secret], name, set[name])
		if file := strings.HasSuffix(name, "_FILE"); file {
			twin := isSecret(strings.TrimSuffix(name, "_FILE"))
			text[twin] = append(text[twin], content(set[name]))
		} else if filepath.IsAbs(set[name]) {
			text[false] = append(text[false], mode(set[name]))
		}
	}
	put(key, text[true]...)
	mac := hmac.New(sha256.New, key.Sum(nil))
	put(mac, text[false]...)
	put(mac, mode(filepath.Join(Home(environ), "config.sh")))
	put(mac, more...)
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// put writes texts so that no two lists of them are written alike.
func put(to hash.Hash, texts ...string) {
	for _, text := range texts {
		fmt.Fprintf(to, "%d:%s", len(text), text)
	}
}

// belongs tells whether a variable is part of the configuration: ours, and what
// passes through to the runner.
func belongs(name string) bool {
	upper := strings.ToUpper(name)
	return IsOurs(name) || strings.HasSuffix(upper, "_PROXY") || strings.HasPrefix(upper, "SSL_CERT_") || strings.HasPrefix(upper, "ACTIONS_RUNNER_") || strings.HasPrefix(upper, "RUNNER_")
}

// content is a file's, or why there is none.
func content(path string) string {
	data, info, err := readFile(path)
	if err != nil {
		return err.Error() + mode(path)
	}
	return fmt.Sprint(info.Mode(), string(data))
}

// mode is a file's or folder's kind and rights: what it holds changes by itself.
func mode(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return info.Mode().String() + owner(info)
}
