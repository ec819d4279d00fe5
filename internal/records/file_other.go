//go:build !unix

package records

import (
	"io/fs"
	"os"
)

// Nothing of this is where there are no Unix files: runners live in Linux containers.
const safely = 0

func isLink(error) bool            { return false }
func hasTwoNames(fs.FileInfo) bool { return false }
func lock(*os.File) error          { return nil }
func isHeld(error) bool            { return false }
