package actions

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
)

func list[T any](values []T) Answer {
	if values == nil {
		values = []T{}
	}
	return ok(map[string]any{"count": len(values), "value": values})
}

// resources are the classic service's, by the ids that the client knows them by.
var resources = []struct{ id, name, path string }{
	{"a8c47e17-4d56-4a56-92bb-de7ea7dc65be", "pools", "_apis/{area}/pools/{poolId}"},
	{"e298ef32-5878-4cab-993c-043836571f42", "agents", "_apis/{area}/pools/{poolId}/agents/{agentId}"},
	{"134e239e-2df3-4794-a6f6-24f1f19ec8dc", "sessions", "_apis/{area}/pools/{poolId}/sessions/{sessionId}"},
	{"c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7", "messages", "_apis/{area}/pools/{poolId}/messages/{messageId}"},
	{"fc825784-c92a-4299-9221-998a02d1b54f", "jobrequests", "_apis/{area}/pools/{poolId}/jobrequests/{requestId}"},
	{"8cc1b02b-ae49-4516-b5ad-4f9b29967c30", "updates", "_apis/{area}/pools/{poolId}/agents/{agentId}/updates"},
	{"8ffcd551-079c-493a-9c02-54346299d144", "packages", "_apis/{area}/packages/{packageType}/{platform}/{version}"},
	{"25adab70-1379-4186-be8e-b643061ebe3a", "jobmessages", "_apis/{area}/jobmessages/{messageId}"},
	{"557624af-b29e-4c20-8ab0-0399d2204f3f", "events", plans + "/events"},
	{"46f5667d-263a-4684-91b1-dff7fdcf64e2", "logs", plans + "/logs/{logId}"},
	{"83597576-cc2c-453c-bea6-2882ae6a1653", "timelines", plans + "/timelines/{timelineId}"},
	{"8893bc5b-35b2-4be7-83cb-99e683551db4", "records", plans + "/timelines/{timelineId}/records/{recordId}"},
	{"858983e4-19bd-4c5e-864c-507b59b58b12", "feed", plans + "/timelines/{timelineId}/records/{recordId}/feed"},
	{"7898f959-9cdf-4096-b29e-7f293031629e", "attachments", plans + "/timelines/{timelineId}/records/{recordId}/attachments/{type}/{name}"},
}

const plans = "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}"

// connectionData is where the classic service has what; without a token too.
func (s *Service) connectionData(_ World, _ Request) Answer {
	var all []any
	for _, r := range resources {
		all = append(all, map[string]any{"serviceType": "distributedtask", "identifier": r.id, "displayName": r.name, "relativeToSetting": "fullyQualified",
			"relativePath": r.path, "description": r.name, "serviceOwner": "00000000-0000-0000-0000-000000000000", "locationMappings": []any{},
			"toolId": "Framework", "resourceVersion": 6, "minVersion": "1.0", "maxVersion": "12.0"})
	}
	return ok(map[string]any{"instanceId": guid(idScope, 0), "locationServiceData": map[string]any{"serviceDefinitions": all}})
}

// scopeOf is the scope that a manager's or a listener's token is for.
func scopeOf(r Request) string {
	if r.claims.Kind == "agent" {
		return r.runner.Scope
	}
	return r.claims.Scope
}

func (s *Service) pools(w World, r Request) Answer {
	var all []any
	for _, g := range w.Groups(scopeOf(r)) {
		all = append(all, map[string]any{"id": g.ID, "name": g.Name, "scope": "00000000-0000-0000-0000-000000000000", "isHosted": g.Hosted, "isInternal": g.ID == 1,
			"size": 0, "poolType": "automation", "isLegacy": false, "createdOn": stamp(w.Now())})
	}
	return list(all)
}

func (s *Service) agents(w World, r Request) Answer {
	var all []any
	for _, runner := range w.Named(scopeOf(r), r.Query.Get("agentName")) {
		all = append(all, describe(w, runner, false))
	}
	return list(all)
}

func describeKey(key *rsa.PublicKey) map[string]string {
	return map[string]string{"exponent": base64.StdEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()), "modulus": base64.StdEncoding.EncodeToString(key.N.Bytes())}
}

// addAgent is the classic registration; with an id in the path it replaces one.
func (s *Service) addAgent(w World, r Request) Answer {
	var in struct {
		Name          string
		Version       string
		Ephemeral     bool
		Labels        []label
		Authorization struct {
			PublicKey struct{ Exponent, Modulus string }
		}
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	key, err := publicKey(in.Authorization.PublicKey.Modulus, in.Authorization.PublicKey.Exponent)
	if err != nil || in.Name == "" {
		return exception(http.StatusBadRequest, "InvalidTaskAgentException", "the runner has no name or no key", 0)
	}
	reg := Registration{Scope: r.claims.Scope, Name: in.Name, Version: in.Version, Labels: names(in.Labels), GroupID: parse(r.parts[0]), Ephemeral: in.Ephemeral, Key: key}
	if len(r.parts) > 1 {
		reg.Replaces = parse(r.parts[1])
	}
	runner, err := w.Register(reg)
	switch {
	case errors.Is(err, ErrConflict):
		return exception(http.StatusConflict, "TaskAgentExistsException", "Already exists - A runner with the name "+in.Name+" already exists.", 0)
	case err != nil:
		return exception(http.StatusNotFound, "TaskAgentPoolNotFoundException", "There is no such pool.", 0)
	}
	agent := describe(w, runner, false)
	agent["status"] = "offline"
	return ok(agent)
}

func (s *Service) deleteAgent(w World, r Request) Answer {
	return removed(w.Unregister(r.claims.Scope, parse(r.parts[1])))
}

func (s *Service) agentUpdate(w World, r Request) Answer { return ok(describe(w, r.runner, false)) }

// renewRequest renews a classic job's lock. The only lock there is has an empty
// token.
func (s *Service) renewRequest(w World, r Request) Answer {
	id := parse(r.parts[1])
	job, known := w.Job(id)
	switch {
	case !known || r.claims.Kind != "agent" || job.Runner != r.runner.ID:
		return exception(http.StatusNotFound, "TaskAgentJobNotFoundException", "There is no such job request.", 0)
	case r.Method == http.MethodPatch && strings.Trim(r.Query.Get("lockToken"), "0-") != "":
		return exception(http.StatusConflict, "TaskAgentJobTokenExpiredException", "The lock is another's.", 0)
	case r.Method == http.MethodPatch && !w.Renew(id):
		return exception(http.StatusNotFound, "TaskAgentJobNotFoundException", "The job has ended.", 0)
	}
	return ok(map[string]any{"requestId": id, "jobId": guid(idJob, id), "planId": guid(idPlan, id), "scopeId": guid(idScope, id), "planType": "actions",
		"jobName": "build", "lockedUntil": stamp(w.Now().Add(lockLife))})
}

// ofPlan refuses a call about another job's plan than that of its token.
func ofPlan(r Request) Answer {
	if ofKind(idPlan, r.parts[2]) != r.job.ID {
		return exception(http.StatusNotFound, "TaskOrchestrationPlanNotFoundException", "There is no such plan.", 0)
	}
	return Answer{}
}

func (s *Service) jobEvent(w World, r Request) Answer {
	var in struct {
		Result  string
		Outputs map[string]value
	}
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	end := ending(r, in.Result, in.Outputs)
	end.Outcomes = r.job.Logs.States()
	if !w.Finish(r.job.ID, end) {
		return exception(http.StatusNotFound, "TaskOrchestrationJobNotFoundException", "The job has ended.", 0)
	}
	return noContent()
}

func (s *Service) createLog(w World, r Request) Answer {
	var in struct{ Path string }
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	name := in.Path[strings.LastIndexAny(in.Path, `\/`)+1:]
	if ofKind(idJob, name) == r.job.ID {
		name = "job"
	}
	answer := logAnswer(w, r.job.Logs.open(name), in.Path, 0)
	answer.Status = http.StatusCreated
	return answer
}

func logAnswer(w World, id int, path string, lines int) Answer {
	return ok(map[string]any{"id": id, "path": path, "lineCount": lines, "location": nil, "createdOn": stamp(w.Now()), "lastChangedOn": stamp(w.Now())})
}

func (s *Service) appendLog(w World, r Request) Answer {
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	id := int(parse(r.parts[3]))
	if id < 1 || id > len(r.job.Logs.names) {
		return exception(http.StatusNotFound, "TaskLogNotFoundException", "There is no such log.", 0)
	}
	name := r.job.Logs.names[id-1]
	r.job.Logs.write(name, string(r.Body), true)
	return logAnswer(w, id, `logs\`+name, strings.Count(r.job.Logs.texts[name], "\n"))
}

// timeline is a classic worker's word on how far its steps are.
func (s *Service) timeline(_ World, r Request) Answer {
	var in struct{ Value []json.RawMessage }
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	if refused := decode(r, &in); refused.Status != 0 {
		return refused
	}
	for _, raw := range in.Value {
		var record struct{ ID, Type, Name, State, Result string }
		if json.Unmarshal(raw, &record) != nil || record.Type != "Task" {
			continue
		}
		state := "in_progress"
		if record.Result != "" {
			state = result(record.Result)
		}
		r.job.Logs.tell(record.ID, Outcome{record.Name, state})
	}
	return list(in.Value)
}

func (s *Service) feed(_ World, r Request) Answer {
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	return noContent()
}

func (s *Service) attachment(w World, r Request) Answer {
	if refused := ofPlan(r); refused.Status != 0 {
		return refused
	}
	return ok(map[string]any{"type": r.parts[5], "name": r.parts[6], "createdOn": stamp(w.Now()), "lastChangedOn": stamp(w.Now())})
}
