//go:build !unix

package dotenv

import "os"

// sameOwner does nothing where files have no uid.
func sameOwner(*os.File, os.FileInfo) error { return nil }
