// Package released is what the version before marks, commit e88cef4, has left in a
// runner's folder when it was stopped or killed.
package released

import (
	"embed"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed *.txtar
var folders embed.FS

// Names are the situations.
var Names = []string{"idle", "killed-idle", "killed-busy"}

// Leave writes what was left into a folder.
func Leave(name, dir string) error {
	data, err := folders.ReadFile(name + ".txtar")
	if err != nil {
		return err
	}
	for _, f := range txtar.Parse(data).Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if f.Name == ".runner" {
			f.Data = append([]byte("\xef\xbb\xbf"), f.Data...)
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
