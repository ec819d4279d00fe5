package cli

import "golang.org/x/sys/unix"

// harden keeps this process's memory and environment from every other process
// of its user, and from core files. In the image the binary's mode 0711 does it
// from the first instruction; this is for who runs as root or built another
// image. It is done for every command: docker exec and HEALTHCHECK processes get
// the container's whole environment.
func harden() {
	// Errors would only say that the kernel is older than these calls.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
