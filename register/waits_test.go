package register_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// TestJitter holds every single wait against its bound, which doubles from half
// a second to a minute, and sees that it is drawn from all of the range: waits
// near the bound only would bring a fleet back together.
func TestJitter(t *testing.T) {
	const attempts, fleet = 12, 200
	var low, high [attempts]int
	synctest.Test(t, func(t *testing.T) {
		for range fleet {
			github := &script{replies: map[string][]reply{tokenCall: append(repeated(reply{status: 502}, attempts), success)}}
			if _, err := client(t, github).RegistrationToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			bound := 500 * time.Millisecond
			for i := range attempts {
				wait := github.calls[i+1].at.Sub(github.calls[i].at)
				if wait < 50*time.Millisecond || wait >= bound {
					t.Errorf("wait %d is %s, the bound %s", i+1, wait, bound)
				}
				if wait < bound/2 {
					low[i]++
				} else {
					high[i]++
				}
				bound = min(2*bound, time.Minute)
			}
		}
	})
	// Half of them each; that fewer than 40 of 200 are is no chance.
	for i := range attempts {
		if low[i] < 40 || high[i] < 40 {
			t.Errorf("wait %d: %d in the lower half, %d in the upper", i+1, low[i], high[i])
		}
	}
}

// stalled never answers, and notes how long each attempt was let hang.
type stalled struct{ took []time.Duration }

func (s *stalled) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	<-r.Context().Done()
	s.took = append(s.took, time.Since(began))
	return nil, r.Context().Err()
}

// TestAttempt shows how long one attempt may take of a call's budget.
func TestAttempt(t *testing.T) {
	for _, row := range []struct{ budget, want time.Duration }{
		{time.Hour, 12 * time.Second},
		{36 * time.Second, 12 * time.Second},
		{30 * time.Second, 10 * time.Second},
		{3 * time.Second, time.Second},
		{time.Second, 500 * time.Millisecond}, // what a handshake needs
		{200 * time.Millisecond, 200 * time.Millisecond},
	} {
		t.Run(row.budget.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				github := &stalled{}
				began := time.Now()
				_, err := client(t, github).RegistrationToken(within(t, row.budget))
				mustBe(t, err, register.ErrUnreachable)
				equal(t, "first attempt", github.took[0], row.want)
				if took := time.Since(began); took > row.budget {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}
