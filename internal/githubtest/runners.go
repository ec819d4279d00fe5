package githubtest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/virtuoso902/org-runner/internal/githubtest/actions"
)

// roster is all registrations, found by what they are asked for by.
type roster struct {
	byID         map[int64]*Runner
	byName       map[string]*Runner // scope and name, in lower case
	byCredential map[string]*Runner
	live         map[int64]*Runner // with a session, a job or an end to come
	ordered      []*Runner         // by id
}

func newRoster() roster {
	return roster{byID: map[int64]*Runner{}, byName: map[string]*Runner{}, byCredential: map[string]*Runner{}, live: map[int64]*Runner{}}
}

func nameKey(scope, name string) string { return strings.ToLower(scope + "\x00" + name) }

// put adds a registration or replaces the one of the same id.
func (ro *roster) put(r *Runner) {
	if old := ro.byID[r.ID]; old != nil {
		ro.remove(old.ID)
	}
	ro.byID[r.ID], ro.byName[nameKey(r.Scope, r.Name)] = r, r
	if r.credential != "" {
		ro.byCredential[r.credential] = r
	}
	at, _ := ro.find(r.ID)
	ro.ordered = slices.Insert(ro.ordered, at, r)
}

func (ro *roster) find(id int64) (int, bool) {
	return slices.BinarySearchFunc(ro.ordered, id, func(r *Runner, id int64) int { return int(r.ID - id) })
}

func (ro *roster) remove(id int64) {
	r := ro.byID[id]
	if r == nil {
		return
	}
	delete(ro.byID, id)
	delete(ro.byName, nameKey(r.Scope, r.Name))
	delete(ro.byCredential, r.credential)
	delete(ro.live, id)
	if at, found := ro.find(id); found {
		ro.ordered = slices.Delete(ro.ordered, at, at+1)
	}
}

// refresh brings up to date whether a runner is online.
func (s *Server) refresh(r *Runner) {
	if r.session != nil {
		r.Online = s.connected(r)
	}
}

// in returns a scope's runners, in the order of their ids; "" for all scopes.
func (s *Server) in(scope, name string) []*Runner {
	var found []*Runner
	for _, r := range s.runners.ordered {
		if (scope == "" || strings.EqualFold(r.Scope, scope)) && (name == "" || strings.EqualFold(r.Name, name)) {
			found = append(found, r)
		}
	}
	return found
}

// AddRunner makes a registration that no listener here belongs to: a ghost of
// an earlier life, or one of a thousand others.
func (s *Server) AddRunner(r Runner) int64 {
	s.change(func() {
		r.ID = s.id()
		if r.GroupID == 0 {
			r.GroupID = 1
		}
		if r.Busy {
			r.busyUntil = time.Now().Add(24 * time.Hour)
		}
		s.runners.put(&r)
	})
	return r.ID
}

// AddRunners makes n registrations like r, named r.Name-1 to r.Name-n.
func (s *Server) AddRunners(n int, r Runner) {
	for i := range n {
		one := r
		one.Name = fmt.Sprintf("%s-%d", r.Name, i+1)
		s.AddRunner(one)
	}
}

// Release ends the job of a runner made by AddRunner with Busy.
func (s *Server) Release(id int64) {
	s.change(func() {
		if r := s.runners.byID[id]; r != nil {
			r.Busy, r.busyUntil = false, time.Time{}
		}
	})
}

// RemoveRunner deletes a runner behind its listener's back. A worker that lives
// still reports the end of its job.
func (s *Server) RemoveRunner(id int64) {
	s.change(func() {
		if r := s.runners.byID[id]; r != nil {
			if !s.connected(r) {
				s.lose(r, time.Now())
			}
			s.runners.remove(id)
		}
	})
}

func (s *Server) runnersPage(q request, sc *scope) response {
	all := s.in(sc.name, q.values.Get("name"))
	return s.page(q, "runners", len(all), func(i int) any { s.refresh(all[i]); return describe(all[i]) })
}

func (s *Server) aboutRunner(q request, r *Runner) response {
	switch q.operation {
	case "get-runner":
		s.refresh(r)
		return ok(describe(r))
	case "delete-runner":
		if s.isBusy(r) {
			return unprocessable(fmt.Sprintf("Runner %q is currently running a job and cannot be deleted.", r.Name))
		}
		s.runners.remove(r.ID)
		return noContent()
	case "list-labels":
		return labelsOf(r)
	}
	return changeLabels(q, r)
}

// isBusy is GitHub's opinion, which can outlast the job.
func (s *Server) isBusy(r *Runner) bool { return r.Busy || time.Now().Before(r.busyUntil) }

// describe is a runner as the API shows it.
func describe(r *Runner) map[string]any {
	status, system := "offline", "linux"
	if r.Online {
		status = "online"
	}
	if r.JIT && r.Version == "" {
		system = "windows" // so GitHub says until it has connected
	}
	return map[string]any{"id": r.ID, "name": r.Name, "os": system, "status": status, "busy": r.Busy || time.Now().Before(r.busyUntil), "labels": describeLabels(r),
		"runner_group_id": r.GroupID, "ephemeral": r.Ephemeral, "version": orNull(r.Version)}
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// readOnly tells a label that GitHub has given from a custom one. A JIT
// configuration's are all read-only.
func readOnly(r *Runner, label string) bool {
	return r.JIT || slices.ContainsFunc([]string{"self-hosted", "linux", "x64", "arm64", "arm"}, func(s string) bool { return strings.EqualFold(s, label) })
}

func describeLabels(r *Runner) []any {
	labels := []any{}
	for i, l := range r.Labels {
		kind := "custom"
		if readOnly(r, l) {
			kind = "read-only"
		}
		labels = append(labels, map[string]any{"id": i + 1, "name": l, "type": kind})
	}
	return labels
}

func labelsOf(r *Runner) response {
	return ok(map[string]any{"total_count": len(r.Labels), "labels": describeLabels(r)})
}

func changeLabels(q request, r *Runner) response {
	var in struct{ Labels []string }
	if q.operation == "add-labels" || q.operation == "set-labels" {
		if refused := decode(q, &in); refused.status != 0 {
			return refused
		}
		if len(in.Labels) > 100 || in.Labels == nil || len(in.Labels) == 0 && q.operation == "add-labels" {
			return unprocessable("Invalid request.")
		}
	}
	has := func(label string) int {
		return slices.IndexFunc(r.Labels, func(l string) bool { return strings.EqualFold(l, label) })
	}
	switch q.operation {
	case "remove-label":
		at := has(q.parts[1])
		switch {
		case at < 0:
			return notFound()
		case readOnly(r, q.parts[1]):
			return unprocessable("Validation Failed")
		}
		r.Labels = slices.Delete(slices.Clone(r.Labels), at, at+1)
	case "set-labels", "remove-labels":
		r.Labels = slices.DeleteFunc(slices.Clone(r.Labels), func(l string) bool { return !readOnly(r, l) })
	}
	for _, label := range in.Labels {
		if has(label) < 0 {
			r.Labels = append(slices.Clip(r.Labels), label)
		}
	}
	return labelsOf(r)
}

// jitConfig registers a runner that configures itself: always ephemeral, with
// exactly the labels given, in lower case.
func (s *Server) jitConfig(q request, sc *scope) response {
	in := struct {
		Name       string   `json:"name"`
		GroupID    *int64   `json:"runner_group_id"`
		Labels     []string `json:"labels"`
		WorkFolder string   `json:"work_folder"`
	}{WorkFolder: "_work"}
	if refused := decode(q, &in); refused.status != 0 {
		return refused
	}
	missing := func(key string) response {
		return unprocessable("Invalid input: object is missing required key: " + key)
	}
	switch {
	case in.Name == "":
		return missing("name")
	case in.GroupID == nil:
		return missing("runner_group_id")
	case in.Labels == nil:
		return missing("labels")
	case len(in.Labels) == 0:
		return unprocessable("Invalid property /labels: 1 item required; only 0 were supplied")
	case len(in.Labels) > 100 || utf8.RuneCountInString(in.Name) > 64 || slices.ContainsFunc(in.Labels, func(l string) bool { return l == "" || len(l) > 256 }):
		return unprocessable("Validation Failed")
	case *in.GroupID == hostedGroup:
		return refuse(http.StatusForbidden, "Runner group is for GitHub-hosted runners")
	case sc.group(*in.GroupID) == nil:
		return notFound()
	case s.runners.byName[nameKey(sc.name, in.Name)] != nil:
		return refuse(http.StatusConflict, "Already exists - A runner with the name *** already exists.")
	}
	r := &Runner{ID: s.id(), Scope: sc.name, Name: in.Name, GroupID: *in.GroupID, Ephemeral: true, JIT: true, WorkDir: in.WorkFolder, credential: ownCredential()}
	for _, label := range in.Labels {
		r.Labels = append(r.Labels, strings.ToLower(label))
	}
	s.runners.put(r)
	config := s.encode(r)
	s.secrets = append(s.secrets, config)
	return response{status: http.StatusCreated, body: map[string]any{"runner": describe(r), "encoded_jit_config": config}}
}

// encode makes the files of a JIT configuration, in the spelling that GitHub's
// have: Pascal case, and every value a string.
func (s *Server) encode(r *Runner) string {
	key := jitKey()
	r.key = &key.PublicKey
	files := map[string]string{}
	for name, content := range actions.Files(actionsWorld{s}, actionsWorld{s}.describe(r), r.WorkDir, actions.PrivateKey(key)) {
		files[name] = base64.StdEncoding.EncodeToString(content)
	}
	text, _ := json.Marshal(files)
	return base64.StdEncoding.EncodeToString(text)
}

// jitKey is the key of all JIT configurations: making one takes longer than a life.
var jitKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// JITConfig hands out a ready JIT configuration, as a script of an operator's
// would request it.
func (s *Server) JITConfig(scope, name string, labels ...string) string {
	body, _ := json.Marshal(map[string]any{"name": name, "runner_group_id": 1, "labels": labels, "work_folder": "_work"})
	var answer response
	s.change(func() { answer = s.jitConfig(request{body: body}, s.scopes[strings.ToLower(scope)]) })
	content, _ := answer.body.(map[string]any)
	config, _ := content["encoded_jit_config"].(string)
	return config
}

// ownCredential is a listener's own. Its job can always read it, because the
// official runner keeps it in a file of the job's user; so it does not count
// among the secrets.
func ownCredential() string { return guid() }

// guid makes an id as the Actions service has them.
func guid() string {
	id := random(16)
	return id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-8" + id[17:20] + "-" + id[20:]
}

// Deprecation is when GitHub stops taking registrations of a runner version, and
// jobs on it. Zero: not known yet.
type Deprecation struct{ Registration, Runtime time.Time }

// Deprecate sets the dates of a version.
func (s *Server) Deprecate(version string, d Deprecation) {
	s.change(func() { s.deprecations[version] = d })
}

// SetLatestRunner sets the version that the downloads offer; default 2.336.0.
func (s *Server) SetLatestRunner(version string) { s.change(func() { s.latest = version }) }

func (s *Server) deprecation(version string) map[string]any {
	date := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return stamp(t)
	}
	d := s.deprecations[version]
	return map[string]any{"runner_version": version, "registration_deprecates_at": date(d.Registration), "runtime_deprecates_at": date(d.Runtime)}
}

func (s *Server) downloads() []any {
	list := []any{}
	for _, system := range []string{"osx x64", "osx arm64", "linux x64", "linux arm", "linux arm64", "win x64", "win arm64"} {
		os, architecture, _ := strings.Cut(system, " ")
		extension := "tar.gz"
		if os == "win" {
			extension = "zip"
		}
		name := fmt.Sprintf("actions-runner-%s-%s-%s.%s", os, architecture, s.latest, extension)
		list = append(list, map[string]any{"os": os, "architecture": architecture, "filename": name,
			"download_url": "https://github.com/actions/runner/releases/download/v" + s.latest + "/" + name})
	}
	return list
}
