package register

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// RepositoryInfo is a repository as GitHub lists it.
type RepositoryInfo struct {
	ID       int64     `json:"id"`
	FullName string    `json:"full_name"` // owner/name
	Private  bool      `json:"private"`
	Archived bool      `json:"archived"`
	PushedAt time.Time `json:"pushed_at"`
}

// Repositories yields the organization's repositories that the credentials can
// see, those last pushed to first; after an error it ends.
func (c *Client) Repositories(ctx context.Context) iter.Seq2[RepositoryInfo, error] {
	return list[RepositoryInfo](ctx, c, c.repositories(), "")
}

// RepositoriesPage is one page of them: the one that next names, or the first.
func (c *Client) RepositoriesPage(ctx context.Context, next string) (Page[RepositoryInfo], error) {
	return page[RepositoryInfo](ctx, c, cmp.Or(next, c.repositories()), "")
}

func (c *Client) repositories() string {
	return c.options.Scope.path() + "/repos?per_page=100&sort=pushed"
}

// Repository asks for one repository, owner/name. One that does not exist or
// cannot be seen is ErrNotFound.
func (c *Client) Repository(ctx context.Context, name string) (RepositoryInfo, error) {
	var r RepositoryInfo
	_, err := c.do(ctx, http.MethodGet, "/repos/"+name, nil, &r)
	return r, err
}

// GroupRepositories lists the repositories that a runner group with the
// visibility "selected" admits.
func (c *Client) GroupRepositories(ctx context.Context, id int64) ([]RepositoryInfo, error) {
	var all []RepositoryInfo
	path := c.options.Scope.path() + "/actions/runner-groups/" + strconv.FormatInt(id, 10) + "/repositories?per_page=100"
	for r, err := range list[RepositoryInfo](ctx, c, path, "repositories") {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Run is a workflow run.
type Run struct {
	ID         int64     `json:"id"`
	Name       string    `json:"name"` // its run-name, or the workflow's name if it has none
	Title      string    `json:"display_title"`
	Event      string    `json:"event"`
	Branch     string    `json:"head_branch"`
	Status     string    `json:"status"`     // queued, in_progress, completed, waiting, requested, pending
	Conclusion string    `json:"conclusion"` // of a completed one
	URL        string    `json:"html_url"`
	Attempt    int       `json:"run_attempt"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	Actor      struct {
		Login string `json:"login"`
	} `json:"actor"`
}

// Job is one job of a workflow run.
type Job struct {
	ID          int64      `json:"id"`
	RunID       int64      `json:"run_id"`
	Attempt     int        `json:"run_attempt"`
	Name        string     `json:"name"`
	Workflow    string     `json:"workflow_name"`
	Branch      string     `json:"head_branch"`
	Status      string     `json:"status"`
	Conclusion  string     `json:"conclusion"`
	URL         string     `json:"html_url"`
	Labels      []string   `json:"labels"` // runs-on
	CreatedAt   time.Time  `json:"created_at"`
	StartedAt   *time.Time `json:"started_at"` // that of a queued one is when it was queued
	CompletedAt *time.Time `json:"completed_at"`
	RunnerID    int64      `json:"runner_id"`
	RunnerName  string     `json:"runner_name"`
	GroupName   string     `json:"runner_group_name"`
}

// Runs yields the workflow runs of a repository, the newest first; after an error
// it ends. An empty status is all of them; created is GitHub's search by date, as
// ">=2026-01-02T15:04:05Z", or empty. GitHub shows at most 1,000 runs of a
// filtered list.
func (c *Client) Runs(ctx context.Context, repository, status, created string) iter.Seq2[Run, error] {
	return list[Run](ctx, c, runsPath(repository, status, created), "workflow_runs")
}

// RunsPage is one page of them: the one that next names, or the first.
func (c *Client) RunsPage(ctx context.Context, repository, status, created, next string) (Page[Run], error) {
	return page[Run](ctx, c, cmp.Or(next, runsPath(repository, status, created)), "workflow_runs")
}

func runsPath(repository, status, created string) string {
	query := url.Values{"per_page": {"100"}}
	if status != "" {
		query.Set("status", status)
	}
	if created != "" {
		query.Set("created", created)
	}
	return "/repos/" + repository + "/actions/runs?" + query.Encode()
}

// Jobs yields the jobs of a run's latest attempt; after an error it ends.
func (c *Client) Jobs(ctx context.Context, repository string, run int64) iter.Seq2[Job, error] {
	return list[Job](ctx, c, jobsPath(repository, run), "jobs")
}

// AllJobs yields the jobs of all of a run's attempts.
func (c *Client) AllJobs(ctx context.Context, repository string, run int64) iter.Seq2[Job, error] {
	return list[Job](ctx, c, jobsPath(repository, run)+"&filter=all", "jobs")
}

func jobsPath(repository string, run int64) string {
	return "/repos/" + repository + "/actions/runs/" + strconv.FormatInt(run, 10) + "/jobs?per_page=100"
}

// JobQueued tells since when the job had been waiting that a runner runs now in a
// workflow run; zero if GitHub does not name it among the run's newest hundred. It
// is one request and no more, for nobody needs the answer. The repository's name is
// what a job has told, so it is looked at first.
func (c *Client) JobQueued(ctx context.Context, repository string, run, runner int64) (time.Time, error) {
	if !isRepository(repository) {
		return time.Time{}, fmt.Errorf("%w: %q is no repository", ErrConfiguration, printable(repository))
	}
	jobs, err := page[Job](Once(ctx), c, jobsPath(repository, run), "jobs")
	for _, job := range jobs.List {
		// Of the jobs that it has run in this run, the others have ended.
		if job.RunnerID == runner && job.Status == "in_progress" {
			return job.CreatedAt, nil
		}
	}
	return time.Time{}, err
}

// JobConclusion tells how the newest job has ended that a runner has run in a
// workflow run: success, failure, cancelled …; "" if GitHub does not name one among
// the run's newest hundred, or calls it running. It is one request and no more. The
// repository's name is what a job has told, so it is looked at first.
func (c *Client) JobConclusion(ctx context.Context, repository string, run, runner int64) (string, error) {
	if !isRepository(repository) {
		return "", fmt.Errorf("%w: %q is no repository", ErrConfiguration, printable(repository))
	}
	jobs, err := page[Job](Once(ctx), c, jobsPath(repository, run), "jobs")
	var newest Job
	for _, job := range jobs.List {
		if job.RunnerID == runner && (newest.StartedAt == nil || job.StartedAt != nil && job.StartedAt.After(*newest.StartedAt)) {
			newest = job
		}
	}
	return newest.Conclusion, err
}

// isRepository tells whether a text has the form owner/name, with the characters
// that GitHub allows in them.
func isRepository(text string) bool {
	owner, name, ok := strings.Cut(text, "/")
	return ok && isName(owner) && isName(name)
}

func isName(text string) bool {
	return text != "" && text != "." && text != ".." && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	})
}

// CancelRun asks GitHub to cancel a workflow run; one that has completed already
// is no error.
func (c *Client) CancelRun(ctx context.Context, repository string, run int64) error {
	_, err := c.do(ctx, http.MethodPost, "/repos/"+repository+"/actions/runs/"+strconv.FormatInt(run, 10)+"/cancel", nil, nil)
	if errors.Is(err, errConflict) {
		return nil
	}
	return err
}
