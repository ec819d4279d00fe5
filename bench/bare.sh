#!/bin/bash
# The official scripts alone, with a token that is there already: what every
# entrypoint needs on top of its own work.
set -euo pipefail
cd "$RUNNER_HOME"
./config.sh --unattended --replace --ephemeral --url "$GITHUB_SERVER_URL/$GITHUB_ORGANIZATION" \
	--token "$READY_TOKEN" --name "$RUNNER_NAME" --labels "${LABELS:-org-runner}" --work _work
exec ./run.sh
