package actions

import (
	"bufio"
	"crypto/sha1" //nolint:gosec // RFC 6455 has it
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
)

// FeedPath is where a job's lines are sent while it runs, if its message says so.
const FeedPath = "/_feed"

// Feed takes the lines of a running job over a web socket and forgets them: they
// come again with the logs.
func Feed(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	hijacker, can := w.(http.Hijacker)
	if key == "" || !can {
		http.Error(w, "this is for web sockets", http.StatusUpgradeRequired)
		return
	}
	conn, stream, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	_, _ = stream.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	_ = stream.Flush()
	for {
		if closes, err := readFrame(stream.Reader); err != nil || closes {
			_, _ = conn.Write([]byte{0x88, 0}) // closed, without a reason
			return
		}
	}
}

// readFrame reads one frame of a client's, and tells whether it closes.
func readFrame(from *bufio.Reader) (closes bool, err error) {
	var head [2]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return false, err
	}
	length := uint64(head[1] & 0x7f)
	if more := map[uint64]int{126: 2, 127: 8}[length]; more > 0 {
		var long [8]byte
		if _, err := io.ReadFull(from, long[8-more:]); err != nil {
			return false, err
		}
		length = binary.BigEndian.Uint64(long[:])
	}
	const mask = 4
	_, err = io.CopyN(io.Discard, from, int64(length)+mask) //nolint:gosec // a frame's
	return head[0]&0x0f == 8, err
}
