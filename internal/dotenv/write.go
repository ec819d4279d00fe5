package dotenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Placement is how a file is put in its place.
type Placement struct {
	OwnerOf string // a new file gets the owner of this one, where we may give it; "": ours
	Private bool   // nobody but the owner may have it
}

// Staged is a file that lies beside its place, whole and on the disk.
type Staged struct{ path, temporary string }

// Write puts data in a file's place in one step: whoever reads it, or kills us,
// finds the old one whole or the new one.
func Write(path string, data []byte) error {
	staged, err := Stage(path, data, Placement{})
	if err != nil {
		return err
	}
	return staged.Commit()
}

// Stage writes data beside a file's place. The file keeps its mode and its owner,
// a new one is for its owner alone (0600). A symbolic link stays one.
func Stage(path string, data []byte, p Placement) (_ *Staged, err error) {
	if target, linkErr := filepath.EvalSymlinks(path); linkErr == nil {
		path = target
	}
	mode := fs.FileMode(0o600)
	like, statErr := os.Stat(path)
	switch {
	case statErr == nil:
		mode = like.Mode().Perm()
	case p.OwnerOf != "":
		like, _ = os.Stat(p.OwnerOf)
	}
	if p.Private {
		mode &= 0o600
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".env.new-*")
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", path, err)
	}
	owned := sameOwner(f, like)
	if statErr != nil {
		owned = nil // a new file may be ours
	}
	_, err = f.Write(data)
	if err = errors.Join(err, owned, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return nil, fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return &Staged{path, f.Name()}, nil
}

// Commit puts the file in its place.
func (s *Staged) Commit() error {
	if err := os.Rename(s.temporary, s.path); err != nil {
		s.Discard()
		return fmt.Errorf("%s cannot be written: %w", s.path, err)
	}
	// The rename itself must survive a power cut; where a folder cannot be synced
	// the file is there all the same.
	if d, err := os.Open(filepath.Dir(s.path)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// Discard takes away what is not wanted any more.
func (s *Staged) Discard() { _ = os.Remove(s.temporary) }
