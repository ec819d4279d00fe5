//go:build linux

package lives

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/internal/githubtest"
)

// BenchmarkStop measures, in every state, how long it takes from the signal until
// the life has left its state (answer-ms) and until its process has ended
// (end-ms; a job of one second is part of it where one runs).
func BenchmarkStop(b *testing.B) {
	for _, s := range states {
		b.Run(strings.ReplaceAll(s.name, " ", "_"), func(b *testing.B) {
			var answers, ends []time.Duration
			for range b.N {
				w := newWorld(b, githubtest.Options{})
				l := s.bring(w)
				before := len(l.out.String())
				began := time.Now()
				l.signal(syscall.SIGTERM)
				for !strings.Contains(l.out.String()[before:], " from=") {
					time.Sleep(100 * time.Microsecond)
				}
				answers = append(answers, time.Since(began))
				<-l.ended
				ends = append(ends, time.Since(began))
				w.none()
			}
			b.ReportMetric(milliseconds(median(answers)), "answer-ms")
			b.ReportMetric(milliseconds(slices.Max(answers)), "worst-answer-ms")
			b.ReportMetric(milliseconds(median(ends)), "end-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

var stormLives = flag.Int("storm", 500, "how many lives BenchmarkStorm starts in one second")

// BenchmarkStorm starts many lives in the same second at a GitHub that admits 80
// writes a minute, and reports when the last one listened, how many calls were
// refused for each, and the most calls of one second after the first minute: as
// few as the even share, if they do not come back in waves. It takes about ten
// minutes for each of its four parts and 20 MB of memory for each life.
func BenchmarkStorm(b *testing.B) {
	const writes, window = 80, time.Minute
	for _, status := range []int{403, 429} {
		for _, retryAfter := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/retry-after=%t", status, retryAfter), func(b *testing.B) {
				for range b.N {
					storm(b, *stormLives, writes, window, status, retryAfter)
				}
			})
		}
	}
}

func storm(b *testing.B, lives, writes int, window time.Duration, status int, retryAfter bool) {
	w := newWorld(b, githubtest.Options{})
	w.LimitWrites(writes, window, status, retryAfter)
	began := time.Now()
	all := make([]*world, lives)
	var starting sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i := range all {
		slots <- struct{}{}
		starting.Go(func() {
			defer func() { <-slots }()
			all[i] = w.another(fmt.Sprintf("fleet-%d", i))
			all[i].start("RUNNER_REGISTER_TIMEOUT=1h", "RUNNER_WATCHDOG=0")
		})
	}
	starting.Wait()
	b.Logf("%d lives started within %s", lives, time.Since(began).Round(time.Millisecond))
	for online := 0; online < lives; time.Sleep(200 * time.Millisecond) {
		online = 0
		for _, r := range w.Runners() {
			if r.Online {
				online++
			}
		}
		for _, one := range all {
			select {
			case <-one.last.ended:
				b.Fatalf("%s has given up\n%s", one.env["RUNNER_NAME"], one.last.out.String())
			default:
			}
		}
	}
	last := time.Since(began)
	refused, bySecond := 0, map[int]int{}
	for _, c := range w.Calls("registration-token") {
		if c.Status != 201 {
			refused++
		}
		if at := c.Time.Sub(began); at > window {
			bySecond[int(at/time.Second)]++
		}
	}
	most := 0
	for _, n := range bySecond {
		most = max(most, n)
	}
	b.ReportMetric(last.Seconds(), "s-until-the-last")
	b.ReportMetric(float64(refused)/float64(lives), "refused/life")
	b.ReportMetric(float64(most), "most-in-a-second")
	b.ReportMetric(0, "ns/op")
	for _, one := range all {
		one.last.kill()
	}
}
