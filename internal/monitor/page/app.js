// The page of org-runner monitor. It shows /api/overview, asks again every ten
// seconds, and changes only what is different, so that nothing flickers and what
// has the focus keeps it. Whatever others have named is text, never markup.

const EVERY = 10_000; // ms
const $ = id => document.getElementById(id);
const body = id => $(id).querySelector(':scope > div');

let overview = null; // the last answer
let answered = 0; // when it came
let failure = ''; // why the last question got none
let broken = ''; // why the last answer could not be shown
let asking = false;
let timer = 0; // until the next question

// --- making elements -------------------------------------------------------

const SVG = 'http://www.w3.org/2000/svg';

// el makes an element: attributes, then children, which are nodes or text.
function el(name, attributes = {}, ...children) {
  const svg = name.startsWith('svg:');
  const e = svg ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat().filter(child => child !== null && child !== undefined && child !== ''));
  return e;
}

// patch makes a node like another one and keeps every node below it that can stay.
// Children belong together by their data-key, where the caller gives one, or else
// by their kind, in their order.
function patch(old, wanted) {
  if (wanted.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether details are open is the reader's business.
    if (!wanted.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const identity = node => `${node.nodeName} ${node.dataset?.key ?? ''}`;
  const present = new Map();
  for (const child of old.childNodes) present.set(identity(child), [...present.get(identity(child)) ?? [], child]);
  const next = [...wanted.childNodes].map(node => [present.get(identity(node))?.shift() ?? node, node]);
  // What goes makes room first: then what stays is in its place, mostly.
  for (const child of [...present.values()].flat()) child.remove();
  next.forEach(([child, node], i) => {
    if (old.childNodes[i] !== child) old.insertBefore(child, old.childNodes[i] ?? null);
    if (child !== node) patch(child, node);
  });
}

// fill gives an element its children. What has the focus loses it by being moved,
// and gets it back.
function fill(element, ...children) {
  const wanted = element.cloneNode(false), focus = document.activeElement;
  wanted.append(...children.flat().filter(Boolean));
  patch(element, wanted);
  if (focus !== document.activeElement && focus?.isConnected) focus.focus({ preventScroll: true });
}

// --- words -----------------------------------------------------------------

const number = new Intl.NumberFormat('en');
const n = value => number.format(value);
const plural = (count, word, more = word + 's') => `${n(count)} ${count === 1 ? word : more}`;

// usd leaves the cents of a thousand dollars out.
function usd(value) {
  const cents = value < 1000 ? 2 : 0;
  return '$' + new Intl.NumberFormat('en', { minimumFractionDigits: cents, maximumFractionDigits: cents }).format(value);
}

function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return `${s} s`;
  const m = Math.round(s / 60);
  if (m < 100) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return h % 24 ? `${Math.floor(h / 24)} d ${h % 24} h` : `${Math.floor(h / 24)} d`;
}

function bytes(value) {
  for (const [unit, size] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (value >= size) return `${(value / size).toFixed(value >= 10 * size ? 0 : 1)} ${unit}`;
  }
  return `${value} B`;
}

// since is how long ago something was, by the monitor's clock and not by the
// reader's.
const since = time => (Date.parse(overview.generated_at) - Date.parse(time)) / 1000;
const clock = time => new Date(time).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
const day = time => new Date(time).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const exact = time => new Date(time).toLocaleString('en-GB');
const moment = time => day(time) === day(overview.generated_at) ? clock(time) : exact(time);

const ago = time => el('time', { datetime: time, title: exact(time) }, duration(since(time)));
const name = text => el('bdi', { class: 'name' }, text);
const unknown = () => el('span', { class: 'unknown' }, 'unknown');
const note = (...text) => el('p', { class: 'note' }, ...text.flat());

// notes stand above what they are about. There is one such element even when it is
// empty, so that nothing below changes its place.
const notes = (...list) => el('div', { class: 'notes' }, ...list);

const repositories = count => plural(count, 'repository', 'repositories');

// unseen tells of a running or a queue how many repositories it leaves out.
const unseen = part => part?.unknown_repositories ? `${repositories(part.unknown_repositories)} unknown` : '';
const unseenNote = (part, what) => part?.unknown_repositories
  ? note(`${repositories(part.unknown_repositories)} ${part.unknown_repositories === 1 ? 'is' : 'are'} `, unknown(), `, not to be seen, not lately or not whole: ${what}.`) : null;

// none says that there was nothing, as far as that can be known: as long as no
// repository has been seen, it cannot.
const none = (o, text) => note(o.running ? text + (o.running.unknown_repositories ? ', as far as repositories could be seen.' : '.') : [unknown(), ': no repository’s jobs could be seen yet.']);

// link leads to GitHub, and to nothing else. One that leads elsewhere is another
// link: it does not inherit the focus.
function link(url, ...text) {
  return /^https?:\/\//.test(url ?? '') ? el('a', { href: url, rel: 'noreferrer', 'data-key': url }, ...text) : el('span', {}, ...text);
}

// job names a job in one cell: its own name, and where it is from.
function job(j) {
  return [link(j.url, name(j.job)), el('span', { class: 'from' }, name(j.repository), j.workflow ? ' · ' : '', j.workflow ? name(j.workflow) : '')];
}

// table has a caption for who cannot see what stands above it. The roles stay
// when a phone shows the rows as blocks. Columns: title, cell, is it a number. The
// key of a row is what it is about.
function table(caption, columns, rows, key) {
  return el('table', { role: 'table' },
    el('caption', { class: 'hidden' }, caption),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, columns.map(([title, , numeric]) => el('th', { scope: 'col', role: 'columnheader', class: numeric ? 'number' : null }, el('div', {}, title))))),
    el('tbody', { role: 'rowgroup' }, rows.map(row => el('tr', { role: 'row', 'data-key': key(row) }, columns.map(([title, cell, numeric], i) =>
      el(i === 0 ? 'th' : 'td', { scope: i === 0 ? 'row' : null, role: i === 0 ? 'rowheader' : 'cell', class: numeric ? 'number' : null, 'data-title': title }, el('div', {}, [cell(row)].flat()))))))
  );
}

const jobKey = j => [j.url, j.repository, j.workflow, j.job].join('\n');
const workflowKey = x => [x.repository, x.workflow, x.job].join('\n');

const cut = (shown, total, ...word) => shown < total ? note(`The first ${n(shown)} of ${plural(total, ...word)}.`) : null;

// --- the sections ----------------------------------------------------------

function tile(label, value, remarks = [], bad = false) {
  return el('div', { class: bad ? 'tile bad' : 'tile' }, el('dt', {}, label), el('dd', {}, value), remarks.filter(Boolean).map(remark => el('dd', { class: 'remark' }, remark)));
}

const online = o => o.runners ? o.runners.idle + o.runners.busy : undefined;

function showNow(o) {
  const r = o.runners, q = o.queue, week = o.savings.week;
  const old = r?.stale_since ? `old: read at ${moment(r.as_of)}` : '';
  const stuck = !q?.total ? '' : online(o) === 0 ? 'no runner is online' : q.stuck ? `${n(q.stuck)} that no runner can take` : '';
  fill($('now'), el('dl', { class: 'tiles' },
    tile('Runners online', r ? n(online(o)) : unknown(), [r ? `${n(r.busy)} busy, ${n(r.idle)} idle` : '', old], old || online(o) === 0),
    tile('Offline', r ? n(r.offline) : unknown(), [r ? `of ${plural(r.total, 'runner')}` : '', old], old),
    tile('Jobs running', o.running ? n(o.running.total) : unknown(), [unseen(o.running)]),
    tile('Jobs waiting', q ? n(q.total) : unknown(), [stuck, unseen(q)], stuck),
    tile('Longest wait', q ? (q.oldest_since ? duration(since(q.oldest_since)) : '–') : unknown(), [unseen(q)]),
    tile('Hosted price', week ? usd(week.hosted_usd) : unknown(), [week ? `${plural(week.minutes, 'minute')} of the week` : '', unseen(o.running)]),
  ));
}

function problem(p) {
  const fresh = p.now && p.count === 1;
  const when = fresh ? (since(p.time) < 60 ? [] : ['for ', ago(p.time)]) : [ago(p.time), ' ago', p.count > 1 ? `, ${n(p.count)} times` : ''];
  return el('li', { 'data-key': p.url || p.what },
    el('p', {}, el('strong', { class: 'kind' }, p.now ? 'Now' : 'Was'), ' ', p.url ? link(p.url, name(p.what)) : name(p.what),
      when.length ? el('span', { class: 'from' }, when) : null),
    p.remedy ? el('p', { class: 'remedy' }, '→ ', name(p.remedy)) : null);
}

function showProblems(o) {
  const now = o.problems.filter(p => p.now), past = o.problems.filter(p => !p.now);
  $('attention').hidden = now.length === 0;
  fill(body('attention'), el('ul', { class: 'problems now' }, now.map(problem)));
  fill(body('problems'), past.length ? el('ul', { class: 'problems' }, past.slice(0, 20).map(problem)) : note(now.length ? 'None but what stands above.' : 'None since the monitor was started.'));
  $('unknown').hidden = o.unknown.length === 0;
  fill(body('unknown'), note('The credentials do not show this; none of it is counted as zero.'),
    el('ul', { class: 'plain' }, o.unknown.map(u => el('li', { 'data-key': u.what }, name(u.what), el('span', { class: 'from' }, 'would show with: ', name(u.permission))))), cut(o.unknown.length, o.unknown_total, 'unknown thing'));
}

function showRunning(o) {
  const r = o.running;
  fill(body('running'), notes(unseenNote(r, 'what runs there is missing here')), !r ? none(o)
    : r.total === 0 ? note(r.unknown_repositories ? 'No job is known to run.' : 'No job runs.', ' A job comes here when its ', el('code', {}, 'runs-on'), ' asks for labels of these runners.')
      : [table('Jobs that run now, the oldest first', [
        ['Job', job],
        ['Runner', j => name(j.runner)],
        ['By', j => [j.actor ? name(j.actor) : '–', j.branch ? el('span', { class: 'from' }, name(j.branch)) : null]],
        ['For', j => j.since ? ago(j.since) : unknown(), true],
      ], r.jobs, jobKey), cut(r.jobs.length, r.total, 'job')]);
}

function showQueue(o) {
  const q = o.queue;
  const stuck = j => online(o) === 0 ? '✕ no runner is online' : j.stuck ? '✕ no runner has these' : '';
  fill(body('queue'), notes(unseenNote(q, 'what waits there is missing here')), !q ? none(o)
    : q.total === 0 ? note(q.unknown_repositories ? 'Nothing is known to wait.' : 'Nothing waits.')
      : [table('Jobs that wait for a runner, the oldest first', [
        ['Job', job],
        ['Asks for', j => [el('span', { class: 'labels' }, j.labels.map(l => el('bdi', { class: 'label' }, l))), stuck(j) ? el('strong', { class: 'stuck' }, stuck(j)) : null]],
        ['For', j => j.since ? ago(j.since) : unknown(), true],
      ], q.jobs, jobKey), cut(q.jobs.length, q.total, 'job')]);
}

const windowName = () => document.querySelector('input[name=window]:checked').value;
const words = { hour: 'the last hour', day: 'the last day', week: 'the last week' };

// dark tells that a repository's runs are not seen, or not lately. What it has had
// done before stays known.
const dark = r => r.stale || !r.last_seen;
const MOST_DARK = 20; // a monitor that has just begun has not seen most yet

function repositoryTable(o, w) {
  const total = r => r.jobs?.[w].total ?? 0, present = r => (r.running ?? 0) + (r.queued ?? 0);
  const seen = o.repositories.filter(r => total(r) || !dark(r) && present(r))
    .sort((a, b) => total(b) - total(a) || present(b) - present(a));
  const rest = o.repositories.filter(r => (dark(r) || r.at_least && !present(r)) && !total(r));
  const rows = [...seen, ...rest.slice(0, MOST_DARK)];
  if (!rows.length) return [];
  const done = count => r => dark(r) && !total(r) ? unknown() : count(r.jobs[w]);
  const now = count => r => dark(r) || count(r) === undefined ? unknown() : n(count(r)) + (r.at_least ? '+' : '');
  return [table(`Jobs by repository in ${words[w]}`, [
    ['Repository', r => [name(r.name), dark(r) ? el('span', { class: 'from' }, r.last_seen ? `last seen at ${moment(r.last_seen)}` : 'never seen') : null]],
    ['Jobs', done(j => n(j.total)), true],
    ['✓ succeeded', done(j => n(j.succeeded)), true],
    ['✕ failed', done(j => j.failed ? el('strong', { class: 'failed' }, n(j.failed)) : '0'), true],
    ['Cancelled, other', done(j => n(j.cancelled + j.other)), true],
    ['Running', now(r => r.running), true],
    ['Waiting', now(r => r.queued), true],
  ], rows, r => r.name), cut(rows.length, seen.length + rest.length, 'repository', 'repositories'),
  o.repositories.length < o.repositories_total ? note(`Of ${n(o.repositories_total)} repositories these are ${n(o.repositories.length)}: where something runs or waits now, then those with the most jobs of the week.`) : null];
}

function showJobs(o) {
  const w = windowName(), series = o.series[w];
  const partly = o.history_since && Date.parse(o.history_since) > Date.parse(series.start);
  const total = series.repositories.reduce((sum, r) => sum + r.total, 0);
  fill(body('jobs'),
    notes(
      partly ? note('Recorded since ', el('time', { datetime: o.history_since }, exact(o.history_since)), ' only, and what GitHub still told of the time before.') : null,
      o.github.pending_runs ? note(`${plural(o.github.pending_runs, 'finished run')} still to be looked into.`) : null,
      o.github.skipped_runs ? note(`${plural(o.github.skipped_runs, 'run')} could not be looked into within the budget of calls; their jobs are in no number here.`) : null,
      o.github.unread_runs ? note(`${plural(o.github.unread_runs, 'unfinished run')} not looked into yet, or not whole.`) : null,
      unseenNote(o.running, 'what ended there lately is in no number here')),
    total ? [chart(series, w), chartTable(series)] : none(o, `No job has ended in ${words[w]}`),
    repositoryTable(o, w));
}

function percentiles(o, w) {
  const d = o.durations[w];
  return [['Waited', d.queue], ['Ran', d.execution]].filter(([, p]) => p);
}

function showDurations(o) {
  const w = windowName(), rows = percentiles(o, w);
  fill(body('durations'), rows.length ? table(`How long the jobs of ${words[w]} waited and ran`, [
    ['Jobs', ([what, p]) => `${what} (${n(p.count)})`],
    ['Half within', ([, p]) => duration(p.p50), true],
    ['95 % within', ([, p]) => duration(p.p95), true],
    ['99 % within', ([, p]) => duration(p.p99), true],
    ['Longest', ([, p]) => duration(p.max), true],
  ], rows, ([what]) => what) : none(o, `No job has ended in ${words[w]}`));
}

function showSavings(o) {
  const s = o.savings, saved = s[windowName()];
  fill(body('savings'),
    !saved ? none(o) : el('p', { class: 'figure' }, el('strong', {}, usd(saved.hosted_usd)), ` for ${plural(saved.minutes, 'minute')} in ${words[windowName()]}`,
      saved.free_minutes ? `, of which ${n(saved.free_minutes)} would have been free` : '', unseen(o.running) ? `; ${unseen(o.running)}` : ''),
    s.lines.length ? table('The minutes of the week by the line of the price list', [
      ['Hosted runner', l => name(l.name)],
      ['Price a minute', l => '$' + l.usd_per_minute, true],
      ['Minutes', l => n(l.minutes), true],
      ['Price', l => usd(l.hosted_usd), true],
    ], s.lines, l => l.sku) : null,
    note(`This is ${s.note}. `, link(s.prices_source, `GitHub’s prices of ${day(s.prices_of)}`), '.'));
}

function workflows(o, id, caption, list, empty, columns) {
  fill(body(id), list.length ? table(caption, [
    ['Workflow', x => [name(x.workflow || '–'), el('span', { class: 'from' }, name(x.repository))]],
    ...columns,
  ], list.slice(0, 10), workflowKey) : none(o, empty));
}

function showWorkflows(o) {
  workflows(o, 'slowest', 'The slowest workflows of the week', o.slowest_workflows, 'No job has ended in the last week', [
    ['Jobs', x => n(x.jobs.total), true],
    ['Half within', x => duration(x.execution.p50), true],
    ['95 % within', x => duration(x.execution.p95), true],
  ]);
  workflows(o, 'failing', 'The most failing workflows of the week', o.most_failing_workflows, 'No job has failed in the last week', [
    ['Failed', x => n(x.jobs.failed), true],
    ['Of', x => n(x.jobs.total), true],
    ['Share', x => `${Math.round(100 * x.jobs.failed / x.jobs.total)} %`, true],
  ]);
}

function showMemory(o) {
  const m = o.memory;
  fill(body('memory'), !m ? note('Unknown: GitHub does not tell it. With ', el('code', {}, 'RUNNER_RECORDS'), ' on a volume that the runners and this monitor share, it stands here.')
    : m.highest.length === 0 ? note('The records tell the memory of no job: that needs cgroup v2.')
      : [table('Memory of jobs, the highest first', [
        ['Job', j => [name(j.job), el('span', { class: 'from' }, j.repository ? name(j.repository) : '', j.workflow ? ' · ' : '', j.workflow ? name(j.workflow) : '')]],
        ['Runs', j => n(j.count), true],
        ['Half within', j => j.p50_bytes === undefined ? unknown() : bytes(j.p50_bytes), true],
        ['Highest', j => j.max_bytes === undefined ? unknown() : bytes(j.max_bytes), true],
        ['CPU, half within', j => j.cpu_seconds === undefined ? unknown() : duration(j.cpu_seconds), true],
        ['Disk, half within', j => j.disk_bytes === undefined ? unknown() : bytes(j.disk_bytes), true],
        ['Killed for memory', j => j.oom_kills === undefined ? unknown() : j.oom_kills ? el('strong', { class: 'failed' }, n(j.oom_kills)) : '0', true],
      ], m.highest, workflowKey)]);
}

const marks = { busy: '▶', idle: '●', offline: '○' };

function showRunners(o) {
  const r = o.runners;
  if (!r) {
    fill(body('runners'), note(unknown(), ': the list of runners could not be read.'));
    return;
  }
  fill(body('runners'),
    notes(r.stale_since ? note('The list is old: it cannot be read since ', el('time', { datetime: r.stale_since }, exact(r.stale_since)), '.') : null),
    o.groups?.length ? table('Runner groups', [
      ['Group', g => name(g.name)],
      ['Admits', g => (g.visibility || 'unknown') + (g.allows_public ? ', public ones too' : '')],
      ['▶ busy', g => n(g.busy), true],
      ['● idle', g => n(g.idle), true],
      ['○ offline', g => n(g.offline), true],
    ], o.groups, g => g.name) : null,
    o.groups ? cut(o.groups.length, o.groups_total, 'runner group') : null,
    r.total === 0 ? note('There is no runner. ', el('code', {}, 'docker compose up -d'), ' starts one.')
      : el('details', {},
        el('summary', {}, `All ${plural(r.total, 'runner')}`),
        note('As of ', el('time', { datetime: r.as_of }, exact(r.as_of)), '.'),
        table('Runners: busy ones first, then idle, then offline', [
          ['Runner', x => name(x.name)],
          ['State', x => el('span', { class: `state ${x.state}` }, `${marks[x.state] ?? ''} ${x.state}`)],
          ['Group', x => x.group ? name(x.group) : unknown()],
          ['Version', x => x.version ? name(x.version) : unknown()],
          ['Labels', x => el('span', { class: 'labels' }, x.labels.map(l => el('bdi', { class: 'label' }, l)))],
          ['Job', x => x.job ? job(x.job) : '–'],
        ], r.list, x => x.name),
        cut(r.list.length, r.total, 'runner')));
}

function left(v) {
  if (v.days_left === undefined) return v.dates_unknown ? unknown() : '–';
  if (v.days_left < 0) return el('strong', { class: 'failed' }, '✕ refused');
  const text = plural(v.days_left, 'day');
  return v.days_left <= 7 ? el('strong', { class: 'failed' }, `! ${text}`) : text;
}

function showVersions(o) {
  const v = o.versions;
  fill(body('versions'), !v ? note(unknown(), '.') : v.in_use.length === 0 ? note('No runner has told its version.')
    : table('Versions of the official runner in use', [
      ['Version', x => [name(x.version), x.version === v.latest ? el('span', { class: 'from' }, 'the newest') : null]],
      ['Runners', x => n(x.runners), true],
      ['Refused in', left, true],
    ], v.in_use, x => x.version),
    v?.latest ? note(`GitHub’s newest is ${v.latest}. It refuses versions some weeks after the next one: rebuild the image.`) : null);
}

function showGitHub(o) {
  const g = o.github;
  fill(body('github'), el('dl', { class: 'pairs' },
    el('dt', {}, 'Calls in the last hour'), el('dd', {}, `${n(g.last_hour)} of ${n(g.calls_per_hour)}`),
    el('dt', {}, 'Unchanged, free of charge'), el('dd', {}, n(g.unchanged)),
    el('dt', {}, 'Left for these credentials'), el('dd', {}, g.remaining === undefined ? unknown() : `${n(g.remaining)} of ${g.limit === undefined ? 'unknown' : n(g.limit)}`),
    el('dt', {}, 'GitHub last answered'), el('dd', {}, g.last_success ? [ago(g.last_success), ' ago'] : 'not yet')));
}

// --- the chart -------------------------------------------------------------

const ticks = [
  { hour: '2-digit', minute: '2-digit' },
  { weekday: 'short', hour: '2-digit', minute: '2-digit' },
  { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
  { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' },
];

// bucketNames are the starts of the steps, in the fewest words that tell them all
// apart: a day's first step has the hour of its last, a week's the weekday too, and
// when the clocks go back an hour comes twice.
function bucketNames(series) {
  const starts = Array.from({ length: series.buckets }, (_, i) => new Date(Date.parse(series.start) + i * series.step_seconds * 1000));
  const named = ticks.map(format => starts.map(at => at.toLocaleString('en-GB', format).replaceAll(',', '')));
  return named.find(names => new Set(names).size === names.length) ?? named.at(-1);
}

// Each colour has a pattern of its own, so that none is needed.
const textures = [
  '', 'M0 8L8 0', 'M4 4h.01', 'M0 4h8', 'M0 0L8 8', 'M4 0v8', 'M0 8L8 0M0 0L8 8', 'M0 4h8M4 0v8',
];

function patterns() {
  return el('svg:defs', {}, textures.map((path, i) => el('svg:pattern', { id: `texture${i}`, width: 8, height: 8, patternUnits: 'userSpaceOnUse' },
    el('svg:rect', { width: 8, height: 8, class: `colour${i}` }), path ? el('svg:path', { d: path, class: 'texture' }) : null)));
}

function chart(series, w) {
  const names = bucketNames(series), letter = 7; // px that one of the axes takes
  const sums = Array.from({ length: series.buckets }, (_, i) => series.repositories.reduce((sum, r) => sum + r.jobs[i], 0));
  const most = Math.max(1, ...sums);
  const width = Math.max(260, body('jobs').clientWidth), height = 200, leftEdge = 10 + letter * Math.max(3, n(most).length), bottom = 20, top = 8;
  const step = (width - leftEdge) / series.buckets, scale = (height - bottom - top) / most;
  const grid = most === 1 ? [0, 1] : [0, Math.round(most / 2), most];
  const y = value => height - bottom - value * scale;
  const label = letter * Math.max(...names.map(name => name.length));
  const every = Math.ceil((label + 20) / step);
  const parts = [
    patterns(),
    grid.map(t => [
      el('svg:line', { x1: leftEdge, x2: width, y1: y(t), y2: y(t), class: 'grid' }),
      el('svg:text', { x: leftEdge - 6, y: y(t) + 4, class: 'axis', 'text-anchor': 'end' }, n(t)),
    ]),
    sums.map((sum, i) => {
      let base = 0;
      const x = leftEdge + i * step + Math.min(2, step * 0.1), wide = Math.max(1, step - Math.min(4, step * 0.2));
      const bars = series.repositories.map((r, k) => {
        if (!r.jobs[i]) return null;
        base += r.jobs[i];
        return el('svg:rect', { x, width: wide, y: y(base), height: r.jobs[i] * scale, fill: `url(#texture${k % textures.length})` });
      });
      const what = series.repositories.filter(r => r.jobs[i]).map(r => `${r.name}: ${n(r.jobs[i])}`).join('\n');
      return el('svg:g', {}, sum ? el('svg:title', {}, `${names[i]}\n${what}`) : null, bars,
        i % every === 0 && leftEdge + i * step + label < width ? el('svg:text', { x: leftEdge + i * step, y: height - 4, class: 'axis' }, names[i]) : null);
    }),
  ].flat(3);
  const total = series.repositories.reduce((sum, r) => sum + r.total, 0);
  return el('figure', {},
    el('svg:svg', { class: 'chart', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `Finished jobs of ${words[w]}: ${n(total)}, at most ${n(most)} in ${duration(series.step_seconds)}. The table below has the numbers.` }, ...parts),
    el('figcaption', {}, el('ul', { class: 'legend' }, series.repositories.map((r, k) => el('li', {},
      el('svg:svg', { width: 14, height: 14, 'aria-hidden': 'true' }, el('svg:rect', { width: 14, height: 14, fill: `url(#texture${k % textures.length})` })),
      r.rest ? 'all others' : name(r.name), ` ${n(r.total)}`)))));
}

function chartTable(series) {
  const names = bucketNames(series);
  const used = Array.from({ length: series.buckets }, (_, i) => i).filter(i => series.repositories.some(r => r.jobs[i]));
  return el('details', {},
    el('summary', {}, 'The chart as a table'),
    el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'The chart as a table' },
      table(`Finished jobs in steps of ${duration(series.step_seconds)}; steps without any are left out`, [
        ['From', i => names[i]],
        ...series.repositories.map(r => [r.rest ? 'all others' : r.name, i => n(r.jobs[i]), true]),
      ], used, i => names[i])));
}

// --- asking and showing ----------------------------------------------------

function showFresh() {
  const seconds = overview ? (Date.now() - answered) / 1000 : 0;
  // A question that is on its way has not failed: a tab that one comes back to has
  // only not asked for a while.
  const old = failure !== '' || !asking && seconds > 3 * EVERY / 1000;
  let text = '';
  if (!overview) text = failure ? '' : 'Asking the monitor…';
  else text = `As of ${new Date(answered).toLocaleTimeString('en-GB')}`;
  if ($('fresh').textContent !== text) $('fresh').textContent = text;

  const alerts = [];
  if (old && overview) alerts.push(`The monitor does not answer${failure ? ` (${failure})` : ''}: what stands here is of ${new Date(answered).toLocaleTimeString('en-GB')}.`);
  else if (failure) alerts.push(`The monitor does not answer (${failure}). It is asked again by itself.`);
  if (overview?.stale_since) alerts.push(`GitHub has told nothing since ${exact(overview.stale_since)}: ${overview.stale_reason}. What stands here is as old.`);
  if (broken) alerts.push(`A part of this page cannot be shown (${broken}). Load it again: the monitor may be a newer one.`);
  fill($('alert'), alerts.map(a => el('p', {}, name(a))));
}

function show() {
  const o = overview;
  if (!o) return;
  fill($('organization'), 'of ', name(o.organization));
  const count = part => part ? n(part.total) + (part.unknown_repositories ? '+' : '') : '?';
  document.title = `${count(o.running)} running, ${count(o.queue)} waiting – ${o.organization}`;
  for (const part of [showNow, showProblems, showRunning, showQueue, showJobs, showDurations, showSavings, showWorkflows, showMemory, showRunners, showVersions, showGitHub]) {
    part(o);
  }
  fill($('about'), `org-runner ${o.version} looks at `, link(o.server_url, name(o.server_url)), '. The same as JSON: ', el('a', { href: 'api/overview' }, '/api/overview'), '; for Prometheus: ', el('a', { href: 'metrics' }, '/metrics'), '.');
}

async function ask() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const response = await fetch('api/overview', { cache: 'no-store', signal: AbortSignal.timeout(15_000) });
    if (!response.ok) throw new Error(`it says ${response.status}`);
    overview = await response.json();
    answered = Date.now();
    failure = '';
  } catch (error) {
    failure = error.name === 'TimeoutError' ? 'no answer in 15 s' : error instanceof TypeError ? 'it cannot be reached' : error.message;
  }
  asking = false;
  try {
    if (failure === '') {
      show();
      broken = '';
    }
  } catch (error) {
    broken = error.message;
    console.error(error);
  } finally {
    // Whatever happens to this answer, the next one is asked for.
    if (!document.hidden) timer = setTimeout(ask, EVERY);
  }
  showFresh();
}

document.addEventListener('visibilitychange', () => document.hidden ? clearTimeout(timer) : ask());
$('window').addEventListener('change', show);
$('window').addEventListener('submit', event => event.preventDefault());
new ResizeObserver(() => { if (overview) showJobs(overview); }).observe($('jobs'));
setInterval(() => { if (!document.hidden) showFresh(); }, 1000);
ask();
