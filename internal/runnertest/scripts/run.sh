#!/bin/bash
# Stand-in for the official run.sh: keeps the helper running, and with
# RUNNER_MANUALLY_TRAP_SIG hands signals to the helper's whole process group.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

leave() {
    echo "Exiting runner..."
    exit "$1"
}

if [ -n "$RUNNER_MANUALLY_TRAP_SIG" ]; then
    set -m
    trap 'kill -INT -$helper' INT TERM
fi
while true; do
    cp -f "$here/run-helper.sh.template" "$here/run-helper.sh"
    if [ -n "$RUNNER_MANUALLY_TRAP_SIG" ]; then
        "$here/run-helper.sh" $* &
        helper=$!
        wait $helper
    else
        "$here/run-helper.sh" $*
    fi
    code=$?
    if [ $code -eq 2 ]; then
        echo "Restarting runner..."
        continue
    fi
    if [ $code -eq 7 ] && [ "$ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE" = 1 ]; then
        leave 7
    fi
    [ -z "$RUNNER_MANUALLY_TRAP_SIG" ] && leave 0
    trap - INT TERM
    wait $helper
    leave $code
done
