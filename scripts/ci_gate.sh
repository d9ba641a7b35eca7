#!/usr/bin/env bash
# The one check that a branch rule has to name: passes if every job that it needs has succeeded. A job that
# was skipped or cancelled has not.
#   RESULTS='["success","success"]' bash scripts/ci_gate.sh
set -euo pipefail

results=$(tr -d '[]" \n' <<<"${RESULTS:?the results of the jobs, as JSON}")
if [ -z "$results" ]; then
    echo 'error: no job was needed; a gate of nothing lets everything through' >&2
    exit 1
fi
IFS=, read -ra each <<<"$results"
for result in "${each[@]}"; do
    if [ "$result" != success ]; then
        echo "error: a job ended with '$result'" >&2
        exit 1
    fi
done
echo "${#each[@]} jobs succeeded"
