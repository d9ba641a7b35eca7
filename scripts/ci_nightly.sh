#!/usr/bin/env bash
# The thorough run of the night: the official model, both tiers against the live references, speed, and all
# of it as receipts and a page in docs/baselines/<date>-<commit>/, with the baselines that follow.
#   bash scripts/ci_nightly.sh [build|fetch|suites|localize|bench|baselines|report|publish|all]
# `publish` commits that folder and the baselines on a branch of its own and pushes it; `all` does not publish.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0
export BITNET_TIER=integration
receipts=out/receipts
target=${CARGO_TARGET_DIR:-target}
name=$(git log -1 --format=%cd-%h --date=format:%Y-%m-%d)
folder=docs/baselines/$name

build() {
    bash scripts/ci_crossval.sh build
}

fetch() {
    "$target/debug/parity" fetch --id bitnet-2b-4t
}

suites() {
    rm -rf "$receipts/parity"
    mkdir -p "$receipts/parity"
    "$target/debug/parity" run --receipts "$receipts/parity" --junit out/junit.xml --markdown out/summary.md
}

localize() {
    bash scripts/ci_crossval.sh localize
}

# Three runs: fewer make no level.
bench() {
    local run code=0
    rm -rf "$receipts"/bench-*
    for run in 1 2 3; do
        BENCH=::bench:: bash scripts/ci_crossval.sh bench || code=$?
        mv "$receipts/bench" "$receipts/bench-$run"
    done
    return "$code"
}

# Levels that are new, or faster with confidence. 1 says that a receipt does not count, for a reason that is
# printed, 4 that there is none: on a noisy host nothing is measured, and the night is not the worse for it.
baselines() {
    local code=0
    "$target/release/parity" baselines gen --from "$receipts"/bench-* || code=$?
    if [ "$code" -eq 1 ] || [ "$code" -eq 4 ]; then
        echo 'neutral: not every measure has a new level'
        return 0
    fi
    return "$code"
}

report() {
    rm -rf "$folder"
    mkdir -p "$folder"
    touch out/localized.jsonl
    "$target/debug/parity" report --title "Night of $name" --localized out/localized.jsonl \
        --out "$folder/report.html" "$receipts"
    cp -r "$receipts" "$folder/receipts"
    echo "$folder"
}

publish() {
    git switch --create "baselines/$name"
    git add --force -- "$folder" baselines
    git -c user.name=nightly -c user.email=nightly@invalid commit --quiet -m "baselines: $name"
    git push origin "baselines/$name"
}

all() {
    local code=0
    bash "$0" build
    bash "$0" fetch
    bash "$0" suites || code=$?
    bash "$0" localize || [ "$code" -ne 0 ] || code=$?
    bash "$0" bench || [ "$code" -ne 0 ] || code=$?
    bash "$0" baselines || [ "$code" -ne 0 ] || code=$?
    bash "$0" report || [ "$code" -ne 0 ] || code=$?
    return "$code"
}

case ${1:-all} in
build | fetch | suites | localize | bench | baselines | report | publish | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: build, fetch, suites, localize, bench, baselines, report, publish, all" >&2
    exit 2
    ;;
esac
