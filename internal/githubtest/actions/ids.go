package actions

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The service's GUIDs say what they are of, so that nothing has to be kept.
const (
	idJob = iota + 1
	idPlan
	idTimeline
	idRequest
	idScope
	idSession
	idStep = 0x100 // and the step's number
)

func guid(kind int, id int64) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, id) }

// parseGUID is guid backwards; false for those that a client has made.
func parseGUID(text string) (kind int, id int64, ok bool) {
	parts := strings.Split(strings.ToLower(text), "-")
	if len(parts) != 5 || strings.Join(parts[1:4], "-") != "0000-4000-8000" {
		return 0, 0, false
	}
	k, err := strconv.ParseInt(parts[0], 16, 32)
	if err != nil {
		return 0, 0, false
	}
	id, err = strconv.ParseInt(parts[4], 16, 64)
	return int(k), id, err == nil
}

// ofKind is the id of a GUID of a kind, 0 for others.
func ofKind(kind int, text string) int64 {
	if k, id, ok := parseGUID(text); ok && k == kind {
		return id
	}
	return 0
}

// Messages have numbers: two for a job.
func jobMessage(id int64) int64    { return 2 * id }
func cancelMessage(id int64) int64 { return 2*id + 1 }

// stamp is a time as .NET writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

// lockLife is how long a job's lock lasts without being renewed.
const lockLife = 10 * time.Minute

// plain takes the byte order mark and the times off a log.
func plain(log string) string {
	lines := strings.Split(strings.TrimPrefix(log, "\ufeff"), "\n")
	for i, line := range lines {
		if at := strings.IndexByte(line, ' '); at > 20 && at < 34 && line[at-1] == 'Z' && line[4] == '-' {
			lines[i] = line[at+1:]
		}
	}
	return strings.Join(lines, "\n")
}

// result is GitHub's word for the runner's.
func result(conclusion string) string {
	switch strings.ToLower(conclusion) {
	case "succeeded", "succeededwithissues":
		return "success"
	case "canceled":
		return "cancelled"
	case "skipped":
		return "skipped"
	}
	return "failure"
}
