package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/virtuoso902/org-runner/internal/httpd"
	"github.com/virtuoso902/org-runner/internal/metrics"
)

// fresh is for how long an overview is shown again before it is made anew.
const fresh = 2 * time.Second

// built is an overview that has been made, whole, and its JSON, whose lists are
// cut.
type built struct {
	at       time.Time
	overview *Overview
	json     []byte
	err      error // there is no JSON
}

// current is the overview, made anew if it is too old.
func (m *Monitor) current() *built {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if b := m.built; b != nil && now.Sub(b.at) < fresh && !now.Before(b.at) {
		return b
	}
	o := m.overview()
	data, err := json.Marshal(o.listed())
	if err != nil { // as for a time of the year 10000
		m.options.Log.Error().Err(err).Msg("the overview cannot be told as JSON: this is an error of org-runner")
	}
	m.built = &built{now, o, append(data, '\n'), err}
	return m.built
}

// Handler serves the page's files below /, and /api/overview, /metrics, /healthz
// and /readyz. It only answers GET and HEAD. hosts are the names and addresses it may
// be asked by beside loopback and the address that the request has come to: so no
// foreign page can read it through a name that its owner points to this machine (DNS
// rebinding).
func (m *Monitor) Handler(page fs.FS, hosts ...string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/overview", func(w http.ResponseWriter, _ *http.Request) {
		b := m.current()
		if b.err != nil {
			http.Error(w, "the overview cannot be told as JSON: "+b.err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b.json)
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		_, _ = m.registry.WriteTo(w)
	})
	mux.HandleFunc("/healthz", answer(m.health))
	mux.HandleFunc("/readyz", answer(m.ready))
	if page != nil {
		files := http.FileServerFS(page)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache") // the next version has other files
			files.ServeHTTP(w, r)
		})
	} else {
		mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, "org-runner monitor: /api/overview, /metrics, /healthz, /readyz")
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		switch {
		case !allowedHost(r, hosts):
			http.Error(w, "this name is not known here: set MONITOR_HOSTS to it, if it is yours", http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "read-only: use GET", http.StatusMethodNotAllowed)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// allowedHost tells whether a request asks for a name or address of ours, whatever
// the port: it may have come through another one.
func allowedHost(r *http.Request, more []string) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	ip, err := netip.ParseAddr(host)
	if ip = ip.Unmap().WithZone(""); err == nil && (ip.IsLoopback() || ip == localAddress(r)) || strings.EqualFold(host, "localhost") {
		return true
	}
	return slices.ContainsFunc(more, func(name string) bool {
		other, notIP := netip.ParseAddr(name)
		return strings.EqualFold(name, host) || err == nil && notIP == nil && other.Unmap() == ip
	})
}

// localAddress is the address of this machine that a request has come to.
func localAddress(r *http.Request) netip.Addr {
	if address, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return address.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func answer(ask func() (text string, yes bool)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, yes := ask()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if !yes {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, text)
	}
}

// health is whether it helps to leave the monitor running: whether the collector
// moves, not whether GitHub answers.
func (m *Monitor) health() (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if age := m.now().Sub(m.stepped); age > deadAfter {
		return fmt.Sprintf("the collector has not moved for %s", age.Round(time.Second)), false
	}
	return "ok", true
}

// ready is whether what it shows is true.
func (m *Monitor) ready() (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	since, why := m.stale(m.now())
	switch {
	case since != nil:
		return "old since " + since.Format(time.RFC3339) + ": " + why, false
	case m.lastSuccess.IsZero():
		return "GitHub has not answered yet", false
	}
	return "ok", true
}

// Serve answers on a listener and collects until the context ends, then gives open
// requests half a second.
func (m *Monitor) Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := httpd.New(handler, m.options.Log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener); cancel() }()
	m.Run(ctx)
	last, done := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer done()
	if server.Shutdown(last) != nil {
		server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
