package githubtest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// aboutRuns is what the API tells of workflow runs. A run is as far as the newest of
// its jobs.
func (s *Server) aboutRuns(q request, sc *scope) response {
	if sc.kind != "repository" {
		return notFound()
	}
	// The newest first, as GitHub lists them.
	var jobs []*Job
	for _, j := range slices.Backward(s.jobs) {
		if strings.EqualFold(j.Repository, sc.name) {
			jobs = append(jobs, j)
		}
	}
	if q.operation == "list-runs" {
		seen := map[int64]bool{}
		jobs = slices.DeleteFunc(jobs, func(j *Job) bool {
			again := seen[j.RunID]
			seen[j.RunID] = true
			return again
		})
		if status := q.values.Get("status"); status != "" {
			jobs = slices.DeleteFunc(jobs, func(j *Job) bool { return j.Status != status && j.Result != status })
		}
		return s.page(q, "workflow_runs", len(jobs), func(i int) any { return s.describeRun(sc, jobs[i]) })
	}
	id, err := strconv.ParseInt(q.parts[0], 10, 64)
	at := slices.IndexFunc(jobs, func(j *Job) bool {
		return id == j.RunID && q.operation != "get-job" || id == j.ID && q.operation == "get-job"
	})
	if err != nil || at < 0 {
		return notFound()
	}
	j := jobs[at]
	switch {
	case q.operation == "list-jobs":
		jobs = slices.DeleteFunc(jobs, func(j *Job) bool { return j.RunID != id })
		slices.Reverse(jobs)
		return s.page(q, "jobs", len(jobs), func(i int) any { return s.describeJob(jobs[i]) })
	case q.operation == "get-job":
		return ok(s.describeJob(j))
	case j.Status == "completed":
		return refuse(http.StatusConflict, "Cannot cancel a workflow run that is completed.")
	}
	j.stop()
	return response{status: http.StatusAccepted, body: map[string]any{}}
}

// stop cancels a job: at once, or through its runner.
func (j *Job) stop() {
	j.cancel = true
	if j.Status == "queued" {
		j.Status, j.Result, j.Completed = "completed", "cancelled", time.Now()
	}
}

func stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func (s *Server) describeJob(j *Job) map[string]any {
	base := s.api("/repos/", j.Repository, "/actions")
	job := map[string]any{"id": j.ID, "node_id": node(j.ID), "run_id": j.RunID, "run_url": base + "/runs/" + strconv.FormatInt(j.RunID, 10),
		"url": base + "/jobs/" + strconv.FormatInt(j.ID, 10), "html_url": nil, "check_run_url": base, "head_sha": commit, "head_branch": cmp.Or(j.Branch, "main"),
		"workflow_name": j.Workflow, "name": j.Name, "status": j.Status, "conclusion": orNull(j.Result), "labels": j.RunsOn,
		"created_at": stamp(j.Queued), "completed_at": stampOrNull(j.Completed), "started_at": stamp(j.Queued),
		"runner_id": nil, "runner_name": nil, "runner_group_id": nil, "runner_group_name": nil}
	if j.RunnerID != 0 {
		job["started_at"] = stamp(j.Started)
		merge(job, map[string]any{"runner_id": j.RunnerID, "runner_name": j.RunnerName, "runner_group_id": j.group.ID, "runner_group_name": j.group.Name})
	}
	return job
}

func (s *Server) describeRun(sc *scope, j *Job) map[string]any {
	repository := s.describeRepository(sc, false)
	updated := j.Queued
	for _, t := range []time.Time{j.Started, j.Completed} {
		if t.After(updated) {
			updated = t
		}
	}
	person := map[string]any{"name": "somebody", "email": "somebody@github.example"}
	run := merge(links(s.api("/repos/", j.Repository, "/actions/runs/", strconv.FormatInt(j.RunID, 10)), "jobs logs check_suite artifacts cancel rerun workflow"), map[string]any{
		"id": j.RunID, "node_id": node(j.RunID), "head_branch": cmp.Or(j.Branch, "main"), "run_attempt": 1, "head_sha": commit, "path": ".github/workflows/ci.yml", "run_number": j.RunID,
		"event": "push", "display_title": j.Name, "status": j.Status, "conclusion": orNull(j.Result), "workflow_id": 1, "pull_requests": []any{},
		"html_url": s.url + "/" + j.Repository, "created_at": stamp(j.Queued), "updated_at": stamp(updated), "repository": repository, "head_repository": repository,
		"head_commit": map[string]any{"id": commit, "tree_id": commit, "message": "a commit", "timestamp": stamp(j.Queued), "author": person, "committer": person},
	})
	run["name"] = cmp.Or(j.Workflow, "CI")
	if j.Actor != "" {
		run["actor"] = s.describeOwner(&account{name: j.Actor, kind: "User", id: 1})
	}
	return run
}
