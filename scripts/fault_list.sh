#!/usr/bin/env bash
# Runs the complete fault list, N01 to P08, and prints one line an id and a last line with the count.
# Why a trial failed, and what this machine cannot test, goes to standard error.
# Ends with 1 if an id failed or has no trial.
set -uo pipefail
cd "$(dirname "$0")/.."

output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo test --locked -p bitnet-runner --no-default-features --test fault_list -- \
    --test-threads 2 --color never "$@" >"$output"
harness=$?

passed=0 failed=0
for group in N:21 D:14 C:7 P:8; do
    for number in $(seq -f '%02g' 1 "${group#*:}"); do
        id=${group%:*}$number
        line=$(grep -E "^test $id-[^ ]+ +\.\.\. " "$output")
        name=$(sed -E 's/^test [A-Z0-9]+-([^ ]+) .*/\1/' <<<"$line")
        case $line in
        *'... ok') echo "$id pass $name" && passed=$((passed + 1)) ;;
        '') echo "$id FAIL no trial ran" && failed=$((failed + 1)) ;;
        *) echo "$id FAIL $name" && failed=$((failed + 1)) ;;
        esac
    done
done
echo "$passed passed, $failed failed, of $((passed + failed)) ids"
if [ "$failed" -gt 0 ] || [ "$harness" -ne 0 ]; then
    sed -n '/^failures:/,$p' "$output" >&2
    exit 1
fi
