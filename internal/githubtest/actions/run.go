package actions

import (
	"bytes"
	"net/http"
	"strings"
)

// acquire hands a job out to the runner that it was offered to.
func (s *Service) acquire(w World, r Request) Answer {
	var in struct {
		Message string `json:"jobMessageId"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	job, known := w.Job(ofKind(idRequest, in.Message))
	switch {
	case !known:
		return runError(http.StatusNotFound, "job not found")
	case job.Runner != r.runner.ID:
		return runError(http.StatusConflict, "job is assigned to another runner")
	case !w.Take(job.ID):
		return runError(http.StatusUnprocessableEntity, "job is not running")
	}
	return ok(s.jobMessage(w, r.runner, job, true))
}

// named reads the ids that the worker's calls have, and refuses those of a job that
// its token is not for.
func (s *Service) named(r Request, into *runRequest) Answer {
	if refused := decode(r, into); refused.Status != 0 {
		return refused
	}
	if ofKind(idPlan, into.Plan) != r.job.ID || ofKind(idJob, into.Job) != r.job.ID {
		return runError(http.StatusNotFound, "job not found")
	}
	return Answer{}
}

type runRequest struct {
	Plan       string           `json:"planId"`
	Job        string           `json:"jobId"`
	Conclusion string           `json:"conclusion"`
	Steps      []stepResult     `json:"stepResults"`
	Outputs    map[string]value `json:"outputs"`
}

type stepResult struct {
	Name       string `json:"name"`
	Conclusion string `json:"conclusion"`
}

type value struct {
	Value string `json:"value"`
}

func (s *Service) renew(w World, r Request) Answer {
	var in runRequest
	if r.claims.Kind == "agent" {
		_ = decode(r, &in)
		if job, known := w.Job(ofKind(idJob, in.Job)); known && job.Runner == r.runner.ID {
			r.job = job
		}
	}
	if refused := s.named(r, &in); refused.Status != 0 {
		return refused
	}
	if !w.Renew(r.job.ID) {
		return runError(http.StatusNotFound, "job not found")
	}
	return ok(map[string]any{"lockedUntil": stamp(w.Now().Add(lockLife))})
}

func (s *Service) complete(w World, r Request) Answer {
	var in runRequest
	if refused := s.named(r, &in); refused.Status != 0 {
		return refused
	}
	end := ending(r, in.Conclusion, in.Outputs)
	for _, step := range in.Steps {
		end.Outcomes = append(end.Outcomes, Outcome{step.Name, result(step.Conclusion)})
	}
	if !w.Finish(r.job.ID, end) {
		return runError(http.StatusNotFound, "job not found")
	}
	return noContent()
}

// shutdown is what the worker writes when its runner is stopped.
const shutdown = "The runner has received a shutdown signal"

func ending(r Request, conclusion string, outputs map[string]value) End {
	end := End{Result: result(conclusion), Log: r.job.Logs.whole()}
	end.Shutdown = bytes.Contains(r.Body, []byte(shutdown)) || strings.Contains(end.Log, shutdown)
	for name, v := range outputs {
		if end.Outputs == nil {
			end.Outputs = map[string]string{}
		}
		end.Outputs[name] = v.Value
	}
	return end
}

// receiver answers the results service's calls about logs and summaries: where to
// put one, and that it is there.
func (s *Service) receiver(w World, r Request) Answer {
	var in struct {
		Plan string `json:"workflow_run_backend_id"`
		Job  string `json:"workflow_job_run_backend_id"`
		Step string `json:"step_backend_id"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	if ofKind(idJob, in.Job) != r.job.ID || ofKind(idPlan, in.Plan) != r.job.ID {
		return refuse(http.StatusNotFound, "no such job")
	}
	call := r.parts[0]
	what, isURL := strings.CutSuffix(strings.TrimPrefix(call, "Get"), "SignedBlobURL")
	if !isURL {
		return ok(map[string]any{"ok": true})
	}
	kind, id, url := "job", "job", "logs_url"
	switch what {
	case "StepLogs":
		kind, id = "step", in.Step
	case "StepSummary":
		kind, id, url = "summary", in.Step, "summary_url"
	case "JobDiagLogs":
		kind, id, url = "diagnostics", "job", "diag_logs_url"
	}
	path := "/_blob/" + in.Job + "/" + kind + "/" + id
	answer := map[string]any{url: w.URL() + path + "?sv=1&sig=" + s.seal(path), "blob_storage_type": "BLOB_STORAGE_TYPE_AZURE"}
	if kind == "step" || kind == "summary" {
		answer["soft_size_limit"] = "1073741824"
	}
	return ok(answer)
}

// blob is what such an address takes.
func (s *Service) blob(w World, r Request) Answer {
	job, known := w.Job(ofKind(idJob, r.parts[0]))
	if !known || r.Query.Get("sig") != s.seal(r.Path) {
		return refuse(http.StatusForbidden, "the signature is not good")
	}
	name := r.parts[2]
	if kind := r.parts[1]; kind == "summary" || kind == "diagnostics" {
		name = kind + " " + name
	}
	switch more := r.Query.Get("comp") == "appendblock"; {
	case !more && r.Header.Get("x-ms-blob-type") == "":
		return refuse(http.StatusBadRequest, "x-ms-blob-type is missing")
	default:
		job.Logs.write(name, string(r.Body), more)
	}
	return Answer{Status: http.StatusCreated}
}

// steps is the worker's word on how far its steps are.
func (s *Service) steps(_ World, r Request) Answer {
	var in struct {
		Plan  string `json:"workflow_run_backend_id"`
		Job   string `json:"workflow_job_run_backend_id"`
		Steps []struct {
			ID         string `json:"external_id"`
			Name       string `json:"name"`
			Status     int    `json:"status"` // 3: in progress, 6: completed
			Conclusion int    `json:"conclusion"`
		} `json:"steps"`
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	if ofKind(idJob, in.Job) != r.job.ID || ofKind(idPlan, in.Plan) != r.job.ID {
		return refuse(http.StatusNotFound, "no such job")
	}
	for _, step := range in.Steps {
		state := "in_progress"
		if step.Status == 6 {
			state = map[int]string{2: "success", 3: "failure", 4: "cancelled", 7: "skipped"}[step.Conclusion]
		}
		r.job.Logs.tell(step.ID, Outcome{step.Name, state})
	}
	return ok(map[string]any{"ok": true})
}
