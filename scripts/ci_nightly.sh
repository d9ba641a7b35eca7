#!/usr/bin/env bash
# The thorough run of the night: the official model, both tiers against the live references, speed, and all
# of it as receipts and a page in docs/baselines/<date>-<commit>/.
#   bash scripts/ci_nightly.sh [build|fetch|suites|localize|bench|report|publish|all]
# `publish` commits that folder on a branch of its own and pushes it; `all` does not publish.
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

bench() {
    BENCH=::bench:: bash scripts/ci_crossval.sh bench
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
    git add --force -- "$folder"
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
    bash "$0" report || [ "$code" -ne 0 ] || code=$?
    return "$code"
}

case ${1:-all} in
build | fetch | suites | localize | bench | report | publish | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: build, fetch, suites, localize, bench, report, publish, all" >&2
    exit 2
    ;;
esac
