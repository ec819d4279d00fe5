package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"

	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virtuoso902/org-runner/internal/config"
	"github.com/virtuoso902/org-runner/register"
)

const orgStatusHelp = `Shows all runners of the organization, by group and state, the jobs that wait
for runners like ours, and who runs what now.

  org-runner --env-file .env org-status
  org-runner --env-file .env org-status --watch 30s
  docker compose exec runner org-runner org-status --json

  --all         every runner, not only the first 20
  --json        everything, for scripts
  --watch TIME  draws it anew, until Ctrl-C

Runners need what registering needs. Jobs need read access to Actions of the
repositories as well; what the credentials cannot see is named as unknown.`

const (
	// orgBudget bounds all questions of one drawing.
	orgBudget = time.Minute
	// sideBySide is how many questions are on their way at once: GitHub's
	// secondary limit is 100.
	sideBySide = 8
	// shortList is how many runners are shown without --all.
	shortList = 20
)

// orgView is what org-status shows; its JSON is for scripts.
type orgView struct {
	Target  string       `json:"target"`
	Time    time.Time    `json:"time"`
	Totals  totals       `json:"totals"`
	Groups  []groupView  `json:"groups,omitempty"`
	Runners []runnerView `json:"runners"`
	Running []jobView    `json:"running"`
	Queue   []queueView  `json:"queue"`
	Unknown []string     `json:"unknown,omitempty"` // what could not be seen, and why
}

type totals struct {
	Runners int `json:"runners"`
	Ours    int `json:"ours"`
	Busy    int `json:"busy"`
	Idle    int `json:"idle"`
	Offline int `json:"offline"`
}

func (t *totals) add(state string, ours bool) {
	t.Runners++
	if ours {
		t.Ours++
	}
	switch state {
	case "busy":
		t.Busy++
	case "idle":
		t.Idle++
	default:
		t.Offline++
	}
}

type groupView struct {
	ID           int64    `json:"id"`
	Name         string   `json:"name"`
	Admits       string   `json:"admits"`                 // all, selected or private repositories
	Repositories []string `json:"repositories,omitempty"` // the selected ones
	totals
}

type runnerView struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	State   string   `json:"state"` // busy, idle, offline
	Group   string   `json:"group,omitempty"`
	Labels  []string `json:"labels"`
	Version string   `json:"version,omitempty"`
	Ours    bool     `json:"ours"`
}

type jobView struct {
	Repository string    `json:"repository"`
	Workflow   string    `json:"workflow"`
	Job        string    `json:"job"`
	Runner     string    `json:"runner"`
	Since      time.Time `json:"since"`
	URL        string    `json:"url,omitempty"`
}

type queueView struct {
	Repository string    `json:"repository"`
	Jobs       int       `json:"jobs"`
	Ours       int       `json:"for_our_labels"`
	Oldest     time.Time `json:"oldest"`
	Labels     []string  `json:"labels"` // that the oldest asks for
}

func orgStatus(call Invocation) error {
	set := flag.NewFlagSet("org-status", flag.ContinueOnError)
	all, asJSON, watch := set.Bool("all", false, ""), set.Bool("json", false, ""), durationFlag(set, "watch")
	if err := parseFlags(call, set, 0); err != nil {
		return err
	}
	switch {
	case *watch != 0 && *asJSON:
		return fmt.Errorf("%w: --watch draws on a terminal, --json is for scripts: give one of them", errUsage)
	case *watch != 0 && !isTerminal(call.Stdout):
		return fmt.Errorf("%w: --watch draws on a terminal, and this is none: leave it out", errUsage)
	case *watch != 0 && *watch < time.Second:
		return fmt.Errorf("%w: --watch %s would ask GitHub too often: give 1s at least, as in --watch 10s", errUsage, *watch)
	}
	r, err := newRemote(call)
	if err != nil {
		return err
	}
	ctx, end := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer end()
	draw := func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, orgBudget)
		defer cancel()
		done := progress(call, "asking GitHub")
		view, err := r.look(ctx)
		done()
		if err != nil {
			return "", err
		}
		var text strings.Builder
		if *asJSON {
			encoder := json.NewEncoder(&text)
			encoder.SetIndent("", "  ")
			return text.String(), errors.Join(encoder.Encode(view), write(call.Stdout, &text))
		}
		view.print(&text, *all, newPalette(call, call.Stdout))
		return text.String(), nil
	}
	if *watch == 0 {
		text, err := draw()
		if err == nil && !*asJSON {
			_, err = io.WriteString(call.Stdout, text)
		}
		return err
	}
	for {
		text, err := draw()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, register.ErrUnreachable):
			return err
		case err != nil:
			text = fmt.Sprintf("%s\n%s\n", time.Now().Format(time.TimeOnly), wrapped(printable(err.Error()), 0))
		}
		// Over the old picture, then clear what is left of it: no flicker.
		text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
		if _, err := io.WriteString(call.Stdout, text); err != nil {
			return err
		}
		select {
		case <-time.After(*watch):
		case <-ctx.Done():
			return nil
		}
	}
}

func write(w io.Writer, text fmt.Stringer) error {
	_, err := io.WriteString(w, text.String())
	return err
}

// progress says on a terminal what takes longer than a second; the function that
// it returns takes it away.
func progress(call Invocation, what string) (done func()) {
	if !isTerminal(call.Stderr) {
		return func() {}
	}
	var mu sync.Mutex
	shown, over := false, false
	timer := time.AfterFunc(time.Second, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			shown = true
			fmt.Fprintf(call.Stderr, "%s …", what)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if over = true; shown {
			fmt.Fprint(call.Stderr, "\r\x1b[K")
		}
	}
}

// look asks GitHub for everything.
func (r remote) look(ctx context.Context) (*orgView, error) {
	view := &orgView{Target: scope(r.config.Target).String(), Time: time.Now(), Runners: []runnerView{}, Running: []jobView{}, Queue: []queueView{}}
	names := map[int64]string{}
	if r.config.Target.Kind != config.Repository {
		groups, err := r.github.Groups(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			names[g.ID] = g.Name
			view.Groups = append(view.Groups, groupView{ID: g.ID, Name: shown(g.Name), Admits: shown(g.Visibility)})
		}
	}
	fleet := newFleet(r.config)
	for runner, err := range r.github.Runners(ctx) {
		if err != nil {
			return nil, err
		}
		ours := fleet.has(runner)
		v := runnerView{ID: runner.ID, Name: shown(runner.Name), State: state(runner), Group: shown(names[runner.GroupID]), Ours: ours}
		for _, l := range runner.Labels {
			v.Labels = append(v.Labels, shown(l.Name))
		}
		if runner.Version != nil {
			v.Version = shown(*runner.Version)
		}
		view.Runners = append(view.Runners, v)
		view.Totals.add(v.State, ours)
		for i := range view.Groups {
			if view.Groups[i].ID == runner.GroupID {
				view.Groups[i].add(v.State, ours)
			}
		}
	}
	rank := map[string]int{"busy": 0, "idle": 1, "offline": 2}
	sortBy(view.Runners, func(a, b runnerView) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), strings.Compare(a.Name, b.Name))
	})
	for i, g := range view.Groups {
		if g.Admits == "selected" && r.config.Target.Kind == config.Organization {
			repositories, err := r.github.GroupRepositories(ctx, g.ID)
			if err != nil {
				view.unknown("the repositories of the group "+g.Name, err)
				continue
			}
			for _, repository := range repositories {
				view.Groups[i].Repositories = append(view.Groups[i].Repositories, repository.FullName)
			}
		}
	}
	r.lookAtJobs(ctx, fleet, view)
	return view, nil
}

func (v *orgView) unknown(what string, err error) {
	v.Unknown = append(v.Unknown, what+": "+err.Error())
}

// repositories are those whose jobs are ours to look at.
func (r remote) repositories(ctx context.Context) (names []string, err error) {
	rules := r.config.AllowedRepositories.Rules()
	if r.config.Target.Kind == config.Repository {
		return []string{r.config.Target.Name}, nil
	}
	if len(rules) > 0 && !slices.ContainsFunc(rules, func(rule string) bool { return strings.Contains(rule, "*") }) {
		return rules, nil
	}
	if r.config.Target.Kind == config.Enterprise {
		return nil, errors.New("GitHub lists no repositories of an enterprise; ALLOWED_REPOSITORIES can name them")
	}
	for repository, err := range r.github.Repositories(ctx) {
		if err != nil {
			return nil, err
		}
		if !repository.Archived && r.config.AllowedRepositories.Allows(repository.FullName) {
			names = append(names, repository.FullName)
		}
	}
	return names, nil
}

// lookAtJobs asks for the jobs that run and wait. What cannot be seen is unknown,
// not absent.
func (r remote) lookAtJobs(ctx context.Context, fleet fleet, view *orgView) {
	repositories, err := r.repositories(ctx)
	if err != nil {
		view.unknown("jobs", err)
		return
	}
	var mu sync.Mutex
	each(repositories, func(repository string) {
		jobs, err := r.unfinished(ctx, repository)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			view.unknown("jobs of "+repository, err)
			return
		}
		queue := queueView{Repository: repository}
		for _, job := range jobs {
			switch job.Status {
			case "in_progress":
				if job.RunnerName == "" {
					continue
				}
				running := jobView{Repository: repository, Workflow: shown(job.Workflow), Job: shown(job.Name), Runner: shown(job.RunnerName), URL: shown(job.URL)}
				if job.StartedAt != nil {
					running.Since = *job.StartedAt
				}
				view.Running = append(view.Running, running)
			case "queued":
				queue.Jobs++
				if fleet.serves(job.Labels) {
					queue.Ours++
				}
				if queue.Oldest.IsZero() || !job.CreatedAt.After(queue.Oldest) {
					queue.Oldest, queue.Labels = job.CreatedAt, allShown(job.Labels)
				}
			}
		}
		if queue.Jobs > 0 {
			view.Queue = append(view.Queue, queue)
		}
	})
	sortBy(view.Running, func(a, b jobView) int { return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Runner, b.Runner)) })
	sortBy(view.Queue, func(a, b queueView) int { return a.Oldest.Compare(b.Oldest) })
	slices.Sort(view.Unknown)
}

// unfinished lists the jobs of a repository's runs that have not ended. A run in
// progress can have jobs that still wait.
func (r remote) unfinished(ctx context.Context, repository string) ([]register.Job, error) {
	var jobs []register.Job
	seen := map[int64]bool{}
	for _, status := range []string{"queued", "in_progress"} {
		for run, err := range r.github.Runs(ctx, repository, status, "") {
			if err != nil {
				return nil, err
			}
			if seen[run.ID] {
				continue // it began to run between the two questions
			}
			seen[run.ID] = true
			for job, err := range r.github.Jobs(ctx, repository, run.ID) {
				if err != nil {
					return nil, err
				}
				jobs = append(jobs, job)
			}
		}
	}
	return jobs, nil
}

// each calls do for all of a list, some of them side by side.
func each(list []string, do func(string)) {
	var all sync.WaitGroup
	slots := make(chan struct{}, sideBySide)
	for _, one := range list {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	all.Wait()
}

// print writes the view for people.
func (v *orgView) print(w io.Writer, all bool, p palette) {
	t := v.Totals
	fmt.Fprintf(w, "%s: %s, %d of this fleet: %d busy, %d idle, %d offline\n", v.Target, plural(t.Runners, "runner"), t.Ours, t.Busy, t.Idle, t.Offline)
	colours := map[string]string{"busy": yellow, "idle": green, "offline": red}
	if len(v.Groups) > 0 {
		groups := table{head: []string{"GROUP", "BUSY", "IDLE", "OFFLINE", "REPOSITORIES"}, most: []int{24}}
		for _, g := range v.Groups {
			admits := g.Admits
			if len(g.Repositories) > 0 {
				admits = strings.Join(g.Repositories, ", ")
			}
			groups.row(printable(g.Name), fmt.Sprint(g.Busy), fmt.Sprint(g.Idle), fmt.Sprint(g.Offline), printable(admits))
		}
		fmt.Fprintln(w)
		groups.print(w, nil)
	}
	if len(v.Runners) > 0 {
		runners := table{head: []string{"  RUNNER", "STATE", "GROUP", "VERSION", "LABELS"}, most: []int{30, 7, 12, 9}}
		for i, r := range v.Runners {
			if i == shortList && !all {
				break
			}
			name := printable(r.Name)
			if r.Ours {
				name = "* " + name
			} else {
				name = "  " + name
			}
			runners.row(name, r.State, printable(r.Group), printable(r.Version), printable(strings.Join(r.Labels, ",")))
		}
		fmt.Fprintln(w)
		runners.print(w, func(column int, text string) string {
			if column == 1 {
				return p.paint(colours[text], text)
			}
			return text
		})
		if hidden := len(v.Runners) - len(runners.rows); hidden > 0 {
			fmt.Fprintf(w, "  … and %d more: --all shows them\n", hidden)
		}
		fmt.Fprintln(w, p.paint(dim, "  * of this fleet"))
	}
	if len(v.Running) > 0 {
		running := table{head: []string{"RUNS ON", "SINCE", "REPOSITORY", "JOB"}, most: []int{26, 7, 24}}
		for _, j := range v.Running {
			running.row(printable(j.Runner), age(v.Time.Sub(j.Since)), printable(j.Repository), printable(j.Workflow+" / "+j.Job))
		}
		fmt.Fprintln(w)
		running.print(w, nil)
	}
	if len(v.Queue) > 0 {
		queue := table{head: []string{"WAITING IN", "JOBS", "FOR OUR LABELS", "OLDEST", "IT ASKS FOR"}, most: []int{28}}
		for _, q := range v.Queue {
			queue.row(printable(q.Repository), fmt.Sprint(q.Jobs), fmt.Sprint(q.Ours), age(v.Time.Sub(q.Oldest)), printable(strings.Join(q.Labels, ",")))
		}
		fmt.Fprintln(w)
		queue.print(w, nil)
	} else if len(v.Unknown) == 0 {
		fmt.Fprintln(w, "\nno job is waiting")
	}
	for _, unknown := range v.Unknown {
		fmt.Fprintf(w, "\n%s\n", p.paint(yellow, wrapped("unknown: "+printable(unknown), 0)))
	}
}
