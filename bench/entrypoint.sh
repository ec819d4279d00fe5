#!/bin/bash
# A plain shell entrypoint, as most private images have one: what org-runner is
# measured against.
set -euo pipefail
cd "$RUNNER_HOME"
api="$GITHUB_SERVER_URL/api/v3/orgs/$GITHUB_ORGANIZATION/actions/runners"

token() {
	curl -fsS -X POST -H "Authorization: Bearer $GITHUB_TOKEN" -H "Accept: application/vnd.github+json" "$api/$1" | jq -r .token
}

remove() {
	trap - TERM INT
	kill -INT "$(pgrep -P "$(pgrep -P "$child" -f run-helper || echo "$child")" -f Runner.Listener)" 2>/dev/null || true
	wait "$child" || true
	ACTIONS_RUNNER_INPUT_TOKEN=$(token remove-token) ./config.sh remove || true
	exit 0
}

./config.sh --unattended --replace --ephemeral --url "$GITHUB_SERVER_URL/$GITHUB_ORGANIZATION" \
	--token "$(token registration-token)" --name "$RUNNER_NAME" --labels "${LABELS:-org-runner}" --work _work
trap remove TERM INT
# With job control: otherwise bash starts what stands before & with SIGINT ignored,
# the listener keeps that, and nothing ends it.
set -m
./run.sh &
child=$!
wait "$child"
