#!/usr/bin/env bash
# What every pull request must pass, without C++ and without a download of a model. A step, or all of them
# with the time of each; the workflow's jobs run the steps side by side.
#   bash scripts/ci_pr.sh [checks|tests|suites|licences|all]
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0

checks() {
    cargo fmt --all --check
    cargo clippy --locked --no-default-features --all-targets -- -D warnings
}

# Unit tests and everything that asks no reference. The suites are a step of their own; the fault list, which
# takes minutes, is part of .ci/run.
tests() {
    local targets=() name
    for name in baselines bench cli documents fetch formats i2s_layouts locking quantization reports \
        store worker workflows; do
        targets+=(--test "$name")
    done
    cargo test --locked --no-default-features -p bitnet-engine
    cargo test --locked --no-default-features -p bitnet-runner --lib "${targets[@]}"
}

suites() {
    mkdir -p out
    cargo run --locked --no-default-features -p bitnet-runner --bin parity -- \
        run ci-light:: --skip ::parity:: --skip ::tokenizer:: --skip ::bench:: \
        --junit out/junit.xml --markdown out/summary.md
}

licences() {
    cargo deny --locked check licenses bans sources
}

all() {
    local step start
    for step in checks tests suites licences; do
        start=$SECONDS
        printf '\n== %s\n' "$step"
        # A shell of its own, so that `set -e` holds in it.
        bash "$0" "$step"
        printf '== %s: %d s\n' "$step" $((SECONDS - start))
    done
}

case ${1:-all} in
checks | tests | suites | licences | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: checks, tests, suites, licences, all" >&2
    exit 2
    ;;
esac
