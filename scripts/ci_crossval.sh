#!/usr/bin/env bash
# Cross-validation against the live references: builds them, runs tier ci-light, measures speed, and makes a
# page of all receipts, also where something failed. What the workflow of the label `crossval` does, step by
# step or all of it.
#   bash scripts/ci_crossval.sh [build|suites|localize|bench|report|all]
# Results lie in out/. `BENCH` selects what is measured (default: the small model's cases).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0
receipts=out/receipts
target=${CARGO_TARGET_DIR:-target}

build() {
    cargo build --locked -p bitnet-runner
    cargo build --locked --release -p bitnet-runner --features fastest-references
}

suites() {
    rm -rf "$receipts/parity"
    mkdir -p "$receipts/parity"
    "$target/debug/parity" run ci-light:: --receipts "$receipts/parity" \
        --junit out/junit.xml --markdown out/summary.md
}

# The cause of each comparison that did not pass: 1 says that one was found.
localize() {
    local receipt reference id tier code
    if ! compgen -G "$receipts/parity/*.json" >/dev/null; then
        echo "error: no receipt in $receipts/parity; run the step suites first" >&2
        return 1
    fi
    : >out/localized.jsonl
    for receipt in "$receipts"/parity/*.json; do
        if ! grep -q '"passed": false' "$receipt"; then continue; fi
        reference=$(basename "$receipt" .json)
        id=$(grep -om1 '"id": "parity::[^"]*"' "$receipt" | cut -d'"' -f4)
        tier=$(grep -om1 '"tier": "[^"]*"' "$receipt" | cut -d'"' -f4)
        code=0
        "$target/debug/parity" localize "$tier::$id" --reference "${reference##*.}" --format json \
            >>out/localized.jsonl || code=$?
        if [ "$code" -gt 1 ]; then return "$code"; fi
    done
}

# A measurement that does not decide (6) is no verdict against a change: hosts of CI systems are noisy.
bench() {
    local code=0
    rm -rf "$receipts/bench"
    mkdir -p "$receipts/bench"
    "$target/release/parity" bench "${BENCH:-ci-light::bench}" --receipts "$receipts/bench" \
        >out/bench.txt || code=$?
    cat out/bench.txt
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
        { echo '## Speed' && echo '````text' && cat out/bench.txt && echo '````'; } >>"$GITHUB_STEP_SUMMARY"
    fi
    if [ "$code" -eq 6 ]; then
        echo 'neutral: the measurement does not decide, and nothing failed'
        return 0
    fi
    return "$code"
}

report() {
    touch out/localized.jsonl
    "$target/debug/parity" report --title 'Cross-validation' --localized out/localized.jsonl \
        --out out/report.html "$receipts"
}

all() {
    local code=0
    bash "$0" build
    bash "$0" suites || code=$?
    bash "$0" localize || [ "$code" -ne 0 ] || code=$?
    bash "$0" bench || [ "$code" -ne 0 ] || code=$?
    bash "$0" report || [ "$code" -ne 0 ] || code=$?
    return "$code"
}

case ${1:-all} in
build | suites | localize | bench | report | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: build, suites, localize, bench, report, all" >&2
    exit 2
    ;;
esac
