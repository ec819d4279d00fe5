//go:build linux && race

package lives

// A test run with the race detector looks for races in the product too.
func init() { productFlags = []string{"-race"} }
