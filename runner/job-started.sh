#!/bin/bash
# The official runner calls this before a job's first step
# (ACTIONS_RUNNER_HOOK_JOB_STARTED, as bash -e). It asks the life of this
# container whether the job's repository may run here; if nobody answers, the
# job does not run. The program stands in ../../bin, as in /usr/local.
exec "${0%/*}/../../bin/org-runner" hook job-started
