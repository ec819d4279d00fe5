package actions

import "strings"

// who is what a call has to show.
type who int

const (
	nobody  who = iota
	manager     // the token of runner-registration
	agent       // a listener's access token
	manages     // either of them
	worker      // a job's token
	renewer     // it, or the access token of the job's listener
)

// operations are the service's calls, by method and path. * is one segment. Those
// below /_apis belong to a tenant: they have /_services/pipelines/NAME in front.
var operations = []struct {
	name, method, path string
	needs              who
	handle             func(*Service, World, Request) Answer
}{
	{"runner-registration", "POST", "/api/v3/actions/runner-registration", nobody, (*Service).registration},
	{"register", "POST", "/api/v3/actions/runners/register", nobody, (*Service).register},
	{"remove", "DELETE", "/api/v3/*/*/actions/runners/*", nobody, (*Service).remove},
	{"remove", "DELETE", "/api/v3/*/*/*/actions/runners/*", nobody, (*Service).remove},
	{"token", "POST", "/_services/token/*", nobody, (*Service).token},

	{"broker-session", "POST", "/_broker/session", agent, (*Service).brokerSession},
	{"broker-end-session", "DELETE", "/_broker/session", agent, (*Service).endBrokerSession},
	{"broker-message", "GET", "/_broker/message", nobody, nil},
	{"acknowledge", "POST", "/_broker/acknowledge", agent, (*Service).acknowledge},

	{"acquirejob", "POST", "/_run/acquirejob", agent, (*Service).acquire},
	{"renewjob", "POST", "/_run/renewjob", renewer, (*Service).renew},
	{"completejob", "POST", "/_run/completejob", worker, (*Service).complete},

	{"results-url", "POST", "/_results/twirp/results.services.receiver.Receiver/*", worker, (*Service).receiver},
	{"results-steps", "POST", "/_results/twirp/github.actions.results.api.v1.WorkflowStepUpdateService/WorkflowStepsUpdate", worker, (*Service).steps},
	{"blob", "PUT", "/_blob/*/*/*", nobody, (*Service).blob},

	{"connection-data", "GET", "/_apis/connectionData", nobody, (*Service).connectionData},
	{"pools", "GET", "/_apis/distributedtask/pools", manages, (*Service).pools},
	{"agents", "GET", "/_apis/distributedtask/pools/*/agents", manages, (*Service).agents},
	{"add-agent", "POST", "/_apis/distributedtask/pools/*/agents", manager, (*Service).addAgent},
	{"replace-agent", "PUT", "/_apis/distributedtask/pools/*/agents/*", manager, (*Service).addAgent},
	{"delete-agent", "DELETE", "/_apis/distributedtask/pools/*/agents/*", manager, (*Service).deleteAgent},
	{"agent-update", "PUT", "/_apis/distributedtask/pools/*/agents/*/updates", agent, (*Service).agentUpdate},
	{"session", "POST", "/_apis/distributedtask/pools/*/sessions", agent, (*Service).session},
	{"end-session", "DELETE", "/_apis/distributedtask/pools/*/sessions/*", agent, (*Service).endSession},
	{"message", "GET", "/_apis/distributedtask/pools/*/messages", nobody, nil},
	{"delete-message", "DELETE", "/_apis/distributedtask/pools/*/messages/*", agent, (*Service).deleteMessage},
	{"renew-request", "PATCH", "/_apis/distributedtask/pools/*/jobrequests/*", manages, (*Service).renewRequest},
	{"get-request", "GET", "/_apis/distributedtask/pools/*/jobrequests/*", manages, (*Service).renewRequest},

	{"job-event", "POST", "/*/_apis/distributedtask/hubs/*/plans/*/events", worker, (*Service).jobEvent},
	{"create-log", "POST", "/*/_apis/distributedtask/hubs/*/plans/*/logs", worker, (*Service).createLog},
	{"append-log", "POST", "/*/_apis/distributedtask/hubs/*/plans/*/logs/*", worker, (*Service).appendLog},
	{"timeline", "PATCH", "/*/_apis/distributedtask/hubs/*/plans/*/timelines/*/records", worker, (*Service).timeline},
	{"feed", "POST", "/*/_apis/distributedtask/hubs/*/plans/*/timelines/*/records/*/feed", worker, (*Service).feed},
	{"attachment", "PUT", "/*/_apis/distributedtask/hubs/*/plans/*/timelines/*/records/*/attachments/*/*", worker, (*Service).attachment},
}

// Find is the operation that a call is for, with what stands for the * of its
// path; "" for calls that are not the service's.
func Find(method, path string) (operation string, parts []string) {
	if i, parts := find(method, path); i >= 0 {
		return operations[i].name, parts
	}
	return "", nil
}

func find(method, path string) (int, []string) {
	for _, prefix := range []string{"/_services/pipelines/", "/api/v3/_services/pipelines/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			_, rest, _ = strings.Cut(rest, "/")
			path = "/" + rest
		}
	}
	path = strings.TrimSuffix(path, "/")
	for i, o := range operations {
		if o.method != method {
			continue
		}
		if parts, ok := match(o.path, path); ok {
			return i, parts
		}
	}
	return -1, nil
}

func match(pattern, path string) ([]string, bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	var parts []string
	for i := range want {
		switch {
		case want[i] == "*" && got[i] != "":
			parts = append(parts, got[i])
		case !strings.EqualFold(want[i], got[i]):
			return nil, false
		}
	}
	return parts, true
}
