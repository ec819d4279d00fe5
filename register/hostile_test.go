package register_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/virtuoso902/org-runner/register"
)

// TestForeignText: what others wrote can neither steer a terminal nor flood a
// log; each row shows the whole error.
func TestForeignText(t *testing.T) {
	const correct = ": correct what GitHub names; RUNNER_NAME, RUNNER_GROUP, LABELS and RUNNER_WORKDIR are what it was sent"
	const began = "the configuration is wrong: " + tokenCall + ": 422 "
	long := strings.Repeat("x", 10<<10)
	short := strings.Repeat("x", 300) + "…"
	for _, row := range []struct {
		name  string
		reply reply
		want  string
	}{
		{"escape sequences", reply{body: `{"message":"\u001b[31mred\u001b[0m\u0007"}`}, began + "[31mred [0m" + correct},
		{"line ends", reply{body: `{"message":"one\r\ntwo\n{\"level\":\"info\"}"}`}, began + `one  two {"level":"info"}` + correct},
		{"text turned around", reply{body: `{"message":"a\u202eb\u2066c"}`}, began + "a b c" + correct},
		{"C1 control", reply{body: `{"message":"a\u009bb"}`}, began + "a b" + correct},
		{"no UTF-8", reply{body: "{\"message\":\"a\xffb\"}"}, began + "a?b" + correct},
		{"other alphabets stay", reply{body: `{"message":"Grüße, 世界"}`}, began + "Grüße, 世界" + correct},
		{"10 KiB", reply{body: `{"message":"` + long + `"}`}, began + short + correct},
		{"10 KiB of wide characters", reply{body: `{"message":"` + strings.Repeat("世", 10<<10) + `"}`}, began + strings.Repeat("世", 300) + "…" + correct},
		{"10 KiB of details", reply{body: `{"message":"m","errors":["` + long + `","b"]}`}, began + "m; " + strings.Repeat("x", 297) + "…" + correct},
		{"a thousand details", reply{body: `{"message":"m","errors":[` + strings.TrimSuffix(strings.Repeat(`"b",`, 1000), ",") + `]}`}, began + "m" + strings.Repeat("; b", 99) + ";…" + correct},
		{"request", reply{body: `{"message":"m"}`, header: map[string]string{"X-GitHub-Request-Id": "\x1b]0;title\a" + long}},
			began + "m (request ]0;title " + strings.Repeat("x", 290) + "…)" + correct},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.reply.status = 422
			_, err := client(t, &script{replies: map[string][]reply{tokenCall: {row.reply}}}).RegistrationToken(within(t, time.Minute))
			equal(t, "message", fmt.Sprint(err), row.want)
		})
	}
}

// TestCredentialsStayHome: no redirect takes them to another server, whatever
// its kind, the call's and the credentials'.
func TestCredentialsStayHome(t *testing.T) {
	const elsewhere = "https://evil.test"
	for _, status := range []int{301, 302, 303, 307, 308} {
		away := []reply{{status: status, body: `{"message":"Moved"}`, header: map[string]string{"Location": elsewhere + "/x"}}}
		for name, ask := range map[string]func(*register.Client) error{
			"GET " + runnerPath: func(c *register.Client) error { _, err := c.RunnerState(within(t, time.Minute), 7); return err },
			findCall:            func(c *register.Client) error { _, _, err := c.FindRunner(within(t, time.Minute), "r-1"); return err },
			tokenCall:           func(c *register.Client) error { _, err := c.RegistrationToken(within(t, time.Minute)); return err },
			"DELETE " + runnerPath: func(c *register.Client) error {
				_, err := c.DeleteRunner(within(t, time.Minute), 7)
				return err
			},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				github := &script{replies: map[string][]reply{name: away, "GET /x": {{status: 200, body: `{}`}}, "POST /x": {success}}}
				mustBe(t, ask(client(t, github)), register.ErrConfiguration)
				equal(t, "calls", fmt.Sprint(github.names()), "["+name+"]")
			})
		}
		t.Run(fmt.Sprint(status, " App"), func(t *testing.T) {
			github := &script{replies: map[string][]reply{accessCall: away, "POST /x": {access("first", time.Now())}}}
			_, err := client(t, github, asApp(t, 42)).RegistrationToken(within(t, time.Minute))
			mustBe(t, err, register.ErrConfiguration)
			equal(t, "calls", fmt.Sprint(github.names()), "["+accessCall+"]")
		})
	}
}
