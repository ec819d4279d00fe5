//go:build linux

package runner

import (
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A job can have put a socket of its own in the life's place: what it answers ends
// somewhere.
func TestAskEndsAnEndlessAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "life.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent := make(chan int64)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, `{"message":"`)
		n, _ := io.Copy(connection, io.LimitReader(endless{}, 1<<30))
		sent <- n
	}()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = Ask(path, Request{Ask: "status"})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
	if n := <-sent; n > 4<<20 {
		t.Errorf("%d MiB were taken", n>>20)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d MiB were used", used>>20)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
