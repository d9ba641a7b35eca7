#!/usr/bin/env bash
# Cross-validation against the live references: builds them, runs tier ci-light, measures speed, and makes a
# page of all receipts, also where something failed. What the workflow of the label `crossval` does, step by
# step or all of it.
#   bash scripts/ci_crossval.sh [build|suites|bench|report|all]
# Results lie in out/. `BENCH` selects what is measured (default: the small model's cases).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0
receipts=out/receipts

build() {
    cargo build --locked -p bitnet-runner
    cargo build --locked --release -p bitnet-runner --features fastest-references
}

suites() {
    rm -rf "$receipts/parity"
    mkdir -p "$receipts/parity"
    target/debug/parity run ci-light:: --receipts "$receipts/parity" \
        --junit out/junit.xml --markdown out/summary.md
}

# A measurement that does not decide (6) is no verdict against a change: hosts of CI systems are noisy.
bench() {
    local code=0
    rm -rf "$receipts/bench"
    mkdir -p "$receipts/bench"
    target/release/parity bench "${BENCH:-ci-light::bench}" --receipts "$receipts/bench" \
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
    target/debug/parity report --title 'Cross-validation' --out out/report.html "$receipts"
}

all() {
    local code=0
    bash "$0" build
    bash "$0" suites || code=$?
    bash "$0" bench || [ "$code" -ne 0 ] || code=$?
    bash "$0" report || [ "$code" -ne 0 ] || code=$?
    return "$code"
}

case ${1:-all} in
build | suites | bench | report | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: build, suites, bench, report, all" >&2
    exit 2
    ;;
esac
