package monitor

import "time"

// Overview is what GET /api/overview answers: the organization at one moment.
// Times are RFC 3339, durations are seconds, sizes are bytes, prices are US
// dollars. What is absent is unknown, which is not the same as zero or empty:
// Unknown says why. Lists are bounded; where a list is cut, a number beside it
// tells the whole.
type Overview struct {
	GeneratedAt  time.Time  `json:"generated_at"`
	StaleSince   *time.Time `json:"stale_since,omitempty"` // GitHub has told nothing since then
	StaleReason  string     `json:"stale_reason,omitempty"`
	Organization string     `json:"organization"` // or owner/name, or an enterprise
	ServerURL    string     `json:"server_url"`
	Version      string     `json:"version"` // of org-runner
	// HistorySince is since when finished jobs have been recorded, or eight days
	// ago; absent: since just now. A window that begins earlier is not whole.
	HistorySince *time.Time `json:"history_since,omitempty"`

	Runners     *Runners `json:"runners,omitempty"`
	Groups      []Group  `json:"groups,omitempty"` // at most 200
	GroupsTotal int      `json:"groups_total,omitempty"`
	Running     *Running `json:"running,omitempty"`
	Queue       *Queue   `json:"queue,omitempty"`
	// Repositories are at most 200: where something runs or waits now first, then
	// those with the most jobs of the week.
	Repositories      []Repository       `json:"repositories"`
	RepositoriesTotal int                `json:"repositories_total"`
	Series            Windows[Series]    `json:"series"`
	Durations         Windows[Durations] `json:"durations"`
	Slowest           []Workflow         `json:"slowest_workflows"`      // of the week, by p95 of execution
	Failing           []Workflow         `json:"most_failing_workflows"` // of the week, by failed jobs
	Memory            *Memory            `json:"memory,omitempty"`       // absent without job records
	Savings           Savings            `json:"savings"`
	Versions          *Versions          `json:"versions,omitempty"`
	Problems          []Problem          `json:"problems"` // what still is so first, then the newest
	GitHub            Budget             `json:"github"`
	Unknown           []Unknown          `json:"unknown"` // what the credentials cannot see; at most 200
	UnknownTotal      int                `json:"unknown_total"`

	workflows []Workflow // all of the week, for the metrics
	storeOK   bool       // the history is written
}

// Windows is one thing over the last hour, day and week.
type Windows[T any] struct {
	Hour T `json:"hour"`
	Day  T `json:"day"`
	Week T `json:"week"`
}

// Totals counts runners by state.
type Totals struct {
	Total   int `json:"total"`
	Idle    int `json:"idle"`
	Busy    int `json:"busy"`
	Offline int `json:"offline"`
}

// Runners is all runners of the organization.
type Runners struct {
	AsOf       time.Time  `json:"as_of"`                 // when the list was read; of very many runners that is seldom
	StaleSince *time.Time `json:"stale_since,omitempty"` // the list is older than it should be: it cannot be read
	Totals
	List []Runner `json:"list"` // at most 200: busy, then idle, then offline
}

// Runner is one runner.
type Runner struct {
	Name    string   `json:"name"`
	Group   string   `json:"group,omitempty"`
	State   string   `json:"state"` // idle, busy, offline
	OS      string   `json:"os,omitempty"`
	Labels  []string `json:"labels"`
	Version string   `json:"version,omitempty"`
	Job     *JobRef  `json:"job,omitempty"` // that it runs, as far as it is seen
}

// JobRef names a job.
type JobRef struct {
	Repository string `json:"repository"`
	Workflow   string `json:"workflow,omitempty"`
	Job        string `json:"job"`
	URL        string `json:"url,omitempty"`
}

// Group is a runner group.
type Group struct {
	Name         string `json:"name"`
	Visibility   string `json:"visibility,omitempty"` // all, selected, private
	AllowsPublic bool   `json:"allows_public"`
	*Totals             // absent where the runners are
}

// Running is the jobs that runners of the organization work on.
type Running struct {
	Total               int          `json:"total"`
	UnknownRepositories int          `json:"unknown_repositories"` // whose runs cannot be seen, or not lately, or not all: then Total is at least
	Jobs                []RunningJob `json:"jobs"`                 // at most 200, the oldest first
}

// RunningJob is a job in progress.
type RunningJob struct {
	JobRef
	Actor  string     `json:"actor,omitempty"`
	Branch string     `json:"branch,omitempty"`
	Runner string     `json:"runner"`
	Since  *time.Time `json:"since,omitempty"`
}

// Queue is the jobs that wait for a runner of the organization.
type Queue struct {
	Total               int               `json:"total"`
	UnknownRepositories int               `json:"unknown_repositories"` // whose runs cannot be seen, or not lately, or not all: then Total is at least
	OldestSince         *time.Time        `json:"oldest_since,omitempty"`
	Repositories        []QueueRepository `json:"repositories"` // at most 200, the longest wait first
	RepositoriesTotal   int               `json:"repositories_total"`
	Jobs                []QueuedJob       `json:"jobs"` // at most 200, the oldest first
	// Stuck is how many ask for labels that no runner has; absent when the
	// runners are unknown or their list is stale, or none is online.
	Stuck *int `json:"stuck,omitempty"`
}

// QueueRepository is the queue of one repository.
type QueueRepository struct {
	Repository  string     `json:"repository"`
	Length      int        `json:"length"`
	OldestSince *time.Time `json:"oldest_since,omitempty"`
	Labels      []string   `json:"labels"` // that its jobs ask for, all together
	Stuck       *int       `json:"stuck,omitempty"`
}

// QueuedJob is a job that waits.
type QueuedJob struct {
	JobRef
	Actor  string     `json:"actor,omitempty"`
	Branch string     `json:"branch,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	Labels []string   `json:"labels"`
	// Stuck: no runner that was online in the last ten minutes, or since the last
	// listings of very many, has these labels; absent where the queue's is.
	Stuck *bool `json:"stuck,omitempty"`

	seen time.Time // when it was last seen to wait
}

// Results counts finished jobs.
type Results struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"` // timed out and failed to start too
	Cancelled int `json:"cancelled"`
	Other     int `json:"other"` // neutral, stale and what GitHub may invent; skipped jobs do not count at all
}

// Repository is what one repository has had done on own runners. What runs and
// waits is absent where that cannot be seen, and its jobs where they never were.
type Repository struct {
	Name     string            `json:"name"` // owner/name
	Private  *bool             `json:"private,omitempty"`
	Running  *int              `json:"running,omitempty"`
	Queued   *int              `json:"queued,omitempty"`
	AtLeast  bool              `json:"at_least,omitempty"` // not all of its runs have been looked into: of what runs and waits so much is known, or nothing
	Jobs     *Windows[Results] `json:"jobs,omitempty"`
	LastSeen *time.Time        `json:"last_seen,omitempty"` // when GitHub last told of its runs; absent: never
	Stale    bool              `json:"stale,omitempty"`     // LastSeen is longer ago than it should be
}

// Series is finished jobs in equal steps of time, for a chart.
type Series struct {
	Start        time.Time          `json:"start"` // of the first bucket
	StepSeconds  int                `json:"step_seconds"`
	Buckets      int                `json:"buckets"`
	Repositories []SeriesRepository `json:"repositories"` // at most 8, the most jobs first; the last is "other" with rest true when there are more
}

// SeriesRepository is one line or one colour of a chart.
type SeriesRepository struct {
	Name  string `json:"name"`
	Rest  bool   `json:"rest,omitempty"`
	Total int    `json:"total"`
	Jobs  []int  `json:"jobs"` // by bucket
}

// Durations is how long jobs have waited and run; a part is absent when there
// was none.
type Durations struct {
	Queue     *Percentiles `json:"queue,omitempty"`
	Execution *Percentiles `json:"execution,omitempty"`
}

// Percentiles are in seconds, by the nearest rank.
type Percentiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Workflow is one workflow of one repository over the week.
type Workflow struct {
	Repository string       `json:"repository"`
	Workflow   string       `json:"workflow"`
	Jobs       Results      `json:"jobs"`
	Execution  *Percentiles `json:"execution,omitempty"`
	Queue      *Percentiles `json:"queue,omitempty"`
}

// Memory is what job records tell of the week's jobs.
type Memory struct {
	Jobs     int         `json:"jobs"`                // with a known peak
	OOMKills *int64      `json:"oom_kills,omitempty"` // processes killed for memory
	Highest  []JobMemory `json:"highest"`             // at most 20, by the highest peak; unknown ones first if a process was killed for memory, else last
}

// JobMemory is the memory of all runs of one job, and what else they have used.
type JobMemory struct {
	Repository string   `json:"repository"`
	Workflow   string   `json:"workflow,omitempty"`
	Job        string   `json:"job"`
	Count      int      `json:"count"` // of which anything is known
	P50        *int64   `json:"p50_bytes,omitempty"`
	Max        *int64   `json:"max_bytes,omitempty"`
	OOMKills   *int64   `json:"oom_kills,omitempty"`
	CPUSeconds *float64 `json:"cpu_seconds,omitempty"` // median, as the following
	Disk       *int64   `json:"disk_bytes,omitempty"`  // in the work folder at the job's end
	Read       *int64   `json:"read_bytes,omitempty"`
	Written    *int64   `json:"written_bytes,omitempty"`
}

// Savings is what own runners have run, and what GitHub's would have cost. A window
// is absent while no repository's jobs could be seen.
type Savings struct {
	PricesOf     string        `json:"prices_of"` // date of the price list
	PricesSource string        `json:"prices_source"`
	Note         string        `json:"note"` // what is and what is not in the price
	Hour         *Saved        `json:"hour,omitempty"`
	Day          *Saved        `json:"day,omitempty"`
	Week         *Saved        `json:"week,omitempty"`
	Lines        []SavingsLine `json:"lines"` // of the week, by the line of the price list
}

// Saved is minutes, each job rounded up to whole ones as GitHub does, and their
// price.
type Saved struct {
	Minutes int `json:"minutes"`
	// FreeMinutes are those of public repositories, which GitHub does not charge.
	FreeMinutes int     `json:"free_minutes"`
	HostedUSD   float64 `json:"hosted_usd"`
}

// SavingsLine is the part that one line of the price list priced.
type SavingsLine struct {
	SKU          string  `json:"sku"`
	Name         string  `json:"name"` // as "Linux 2-core"
	USDPerMinute float64 `json:"usd_per_minute"`
	Saved
}

// Versions is the versions of the official runner in use.
type Versions struct {
	Latest string    `json:"latest,omitempty"`
	InUse  []Version `json:"in_use"` // the newest first
}

// Version is one version in use.
type Version struct {
	Version string `json:"version"`
	Runners int    `json:"runners"`
	// From when on GitHub refuses to register it, and to give it jobs; absent: not
	// decided yet, or unknown.
	RegistrationDeprecatesAt *time.Time `json:"registration_deprecates_at,omitempty"`
	RuntimeDeprecatesAt      *time.Time `json:"runtime_deprecates_at,omitempty"`
	DatesUnknown             bool       `json:"dates_unknown,omitempty"` // the credentials or the server do not tell the dates
	DaysLeft                 *int       `json:"days_left,omitempty"`     // to the first of the two; negative: past
}

// Problem is something that went wrong, and what to do.
type Problem struct {
	Time   time.Time `json:"time"` // of the last one
	Kind   string    `json:"kind"` // github, labels, group, memory, lost, version, store
	What   string    `json:"what"`
	Remedy string    `json:"remedy,omitempty"`
	Count  int       `json:"count"` // of the same since the start
	Now    bool      `json:"now"`   // it still is so
	URL    string    `json:"url,omitempty"`
}

// Budget is what the monitor costs at GitHub.
type Budget struct {
	CallsPerHour int `json:"calls_per_hour"` // the budget
	// LastHour is the calls of the last 60 minutes that count against GitHub's
	// limit; Unchanged those that GitHub answered with 304, which do not.
	LastHour  int `json:"last_hour"`
	Unchanged int `json:"unchanged"`
	// The credentials' own limit, which others may use too.
	Limit       *int       `json:"limit,omitempty"`
	Remaining   *int       `json:"remaining,omitempty"`
	Reset       *time.Time `json:"reset,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	// SkippedRuns is how many finished runs were never looked into because the
	// budget did not allow it: their jobs are in no number here.
	SkippedRuns int `json:"skipped_runs"`
	// PendingRuns is how many finished runs are still to be looked into.
	PendingRuns int `json:"pending_runs"`
	// UnreadRuns is how many runs that wait or are at work were not looked into yet,
	// or not whole: what else of theirs runs or waits is not in the numbers.
	UnreadRuns int `json:"unread_runs"`
}

// Unknown is something that the credentials cannot see, and the permission that
// would show it.
type Unknown struct {
	What       string `json:"what"`
	Permission string `json:"permission"`
}
