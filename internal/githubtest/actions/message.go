package actions

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// pair and dictionary are how the message writes contexts: t 2, and keys and values.
type pair struct {
	Key   string `json:"k"`
	Value any    `json:"v"`
}

func dictionary(pairs ...any) map[string]any {
	list := []pair{}
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, pair{pairs[i].(string), pairs[i+1]})
	}
	return map[string]any{"t": 2, "d": list}
}

// jobMessage is the whole of a job. In v2 the worker talks to the run service, in
// classic to the tenant's.
func (s *Service) jobMessage(w World, runner Runner, job Job, v2 bool) map[string]any {
	kind, service := "PipelineAgentJobRequest", tenant(w, runner.Scope)
	if v2 {
		kind, service = "RunnerJobRequest", w.URL()+"/_run/"
	}
	plan, jobID := guid(idPlan, job.ID), guid(idJob, job.ID)
	orchestration := plan + ".build.__default"
	token := s.sign(w, claims{Kind: "job", Job: job.ID, Scp: "Actions.Results:" + plan + ":" + jobID, Orch: orchestration}, 6*24*time.Hour)
	data := map[string]string{"CacheServerUrl": w.URL() + "/_cache/", "PipelinesServiceUrl": tenant(w, runner.Scope), "ResultsServiceUrl": w.URL() + "/_results/"}
	if w.Feeds() {
		data["FeedStreamUrl"] = w.URL() + FeedPath
	}
	message := map[string]any{
		"messageType": kind,
		"plan":        map[string]any{"scopeIdentifier": guid(idScope, job.ID), "planType": "actions", "version": 12, "planId": plan, "planGroup": "actions"},
		"timeline":    map[string]any{"id": guid(idTimeline, job.ID), "changeId": 1, "location": nil},
		"jobId":       jobID, "jobDisplayName": job.Name, "jobName": "build", "requestId": job.ID, "lockedUntil": "0001-01-01T00:00:00",
		"resources": map[string]any{"endpoints": []any{map[string]any{
			"name": "SystemVssConnection", "url": service, "authorization": map[string]any{"scheme": "OAuth", "parameters": map[string]string{"AccessToken": token}},
			"data":     data,
			"isShared": false, "isReady": true,
		}}},
		"contextData": map[string]any{"github": githubContext(w, job), "needs": dictionary(), "vars": dictionary(), "matrix": nil,
			"strategy": dictionary("fail-fast", true, "job-index", 0, "job-total", 1, "max-parallel", 1)},
		"workspace": map[string]any{}, "mask": []any{map[string]string{"type": "regex", "value": regexp.QuoteMeta(job.Token)}},
		"variables": variables(w, job, orchestration, v2), "steps": steps(job), "fileTable": []string{".github/workflows/ci.yml"}, "billingOwnerId": "owner",
	}
	if len(job.Env) > 0 {
		message["environmentVariables"] = []any{mapping(job.Env)}
	}
	if len(job.Outputs) > 0 {
		message["jobOutputs"] = mapping(job.Outputs)
	}
	return message
}

func variables(w World, job Job, orchestration string, v2 bool) map[string]any {
	all := map[string]any{}
	for name, text := range map[string]string{
		"system.github.job": "build", "system.github.token.permissions": `{"Contents":"read","Metadata":"read"}`, "system.phaseDisplayName": job.Name,
		"system.runnerGroupName": job.GroupName, "system.runnerEnvironment": "self-hosted", "system.runner.lowdiskspacethreshold": "100",
		"system.orchestrationId": orchestration, "system.workflowFilePath": ".github/workflows/ci.yml",
		"DistributedTask.NewActionMetadata": "true", "DistributedTask.EnableCompositeActions": "true", "DistributedTask.EnhancedAnnotations": "true",
		"DistributedTask.UploadStepSummary": "true", "DistributedTask.AllowRunnerContainerHooks": "true", "actions_uses_cache_service_v2": "true",
	} {
		all[name] = map[string]any{"value": text}
	}
	if v2 {
		all["system.github.results_endpoint"] = map[string]any{"value": w.URL() + "/_results/"}
	}
	for _, name := range []string{"system.github.token", "github_token"} {
		all[name] = map[string]any{"value": job.Token, "isSecret": true}
	}
	return all
}

func githubContext(w World, job Job) map[string]any {
	owner, name, _ := strings.Cut(job.Repository, "/")
	host := strings.TrimPrefix(strings.TrimPrefix(w.URL(), "https://"), "http://")
	run, ref, sha := number(job.RunID), "refs/heads/"+job.Branch, fmt.Sprintf("%040x", job.RunID)
	event := dictionary("ref", ref,
		"head_commit", dictionary("id", sha, "message", job.Commit),
		"repository", dictionary("id", 11, "name", name, "full_name", job.Repository, "private", true, "default_branch", "main",
			"html_url", w.URL()+"/"+job.Repository, "owner", dictionary("login", owner, "id", 1)),
		"sender", dictionary("login", job.Actor, "id", 583231))
	return dictionary(
		"repository", job.Repository, "repository_owner", owner, "repository_id", "11", "repository_owner_id", "1",
		"repositoryUrl", "git://"+host+"/"+job.Repository+".git", "run_id", run, "run_number", run, "run_attempt", "1", "retention_days", "90",
		"workflow", job.Workflow, "workflow_ref", job.Repository+"/.github/workflows/ci.yml@"+ref, "workflow_sha", sha,
		"actor", job.Actor, "actor_id", "583231", "triggering_actor", job.Actor, "job", "build", "event_name", "push", "event", event,
		"ref", ref, "ref_name", job.Branch, "ref_type", "branch", "ref_protected", false, "sha", sha, "head_ref", "", "base_ref", "",
		"server_url", w.URL(), "api_url", w.URL()+"/api/v3", "graphql_url", w.URL()+"/api/graphql", "secret_source", "Actions", "artifact_cache_size_limit", 10,
	)
}

func steps(job Job) []any {
	all := []any{}
	for i, step := range job.Steps {
		context := step.ID
		if context == "" {
			context = fmt.Sprintf("__run_%d", i+1)
		}
		one := map[string]any{
			"type": "action", "reference": map[string]string{"type": "script"}, "id": guid(idStep+i, job.ID), "name": context, "contextName": context,
			"condition": condition(step.If), "enabled": true, "inputs": mapping(map[string]string{"script": step.Run}),
		}
		if step.Name != "" {
			one["displayNameToken"] = step.Name
		}
		if len(step.Env) > 0 {
			one["environment"] = mapping(step.Env)
		}
		if step.ContinueOnError {
			one["continueOnError"] = true
		}
		if step.Timeout > 0 {
			one["timeoutInMinutes"] = step.Timeout
		}
		all = append(all, one)
	}
	return all
}

// condition is a step's, as the workflow's compiler hands it on: one without a
// status function has success() in front.
func condition(text string) string {
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "${{"), "}}"))
	switch {
	case text == "":
		return "success()"
	case !regexp.MustCompile(`\b(success|failure|always|cancelled)\s*\(`).MatchString(text):
		return "success() && (" + text + ")"
	}
	return text
}

func mapping(values map[string]string) map[string]any {
	list := []any{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		list = append(list, map[string]any{"key": key, "value": template(values[key])})
	}
	return map[string]any{"type": 2, "map": list}
}

var expression = regexp.MustCompile(`\$\{\{(.*?)\}\}`)

// template is a text with expressions in it, as the workflow's compiler hands it on.
func template(text string) any {
	found := expression.FindAllStringSubmatchIndex(text, -1)
	if len(found) == 0 {
		return text
	}
	if len(found) == 1 && found[0][0] == 0 && found[0][1] == len(text) {
		return map[string]any{"type": 3, "expr": strings.TrimSpace(text[found[0][2]:found[0][3]])}
	}
	literal := strings.NewReplacer("'", "''", "{", "{{", "}", "}}")
	var format, arguments strings.Builder
	last := 0
	for i, at := range found {
		format.WriteString(literal.Replace(text[last:at[0]]))
		fmt.Fprintf(&format, "{%d}", i)
		arguments.WriteString(", " + strings.TrimSpace(text[at[2]:at[3]]))
		last = at[1]
	}
	format.WriteString(literal.Replace(text[last:]))
	return map[string]any{"type": 3, "expr": "format('" + format.String() + "'" + arguments.String() + ")"}
}
