#!/usr/bin/env bash
# What every pull request must pass, without C++ and without a download of a model. A step, or all of them
# with the time of each; the workflow's jobs run the steps side by side.
#   bash scripts/ci_pr.sh [checks|engine|runner|suites|licences|all]
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_INCREMENTAL=0

checks() {
    cargo fmt --all --check
    cargo clippy --locked --no-default-features --all-targets -- -D warnings
}

# Every test of the engine.
engine() {
    cargo test --locked --no-default-features -p bitnet-engine
}

# Unit tests of the runner, and every other test of it that needs no reference. The suites are a step of their
# own; the fault list, which takes minutes, is part of .ci/run.
runner() {
    local targets=() path name
    for path in runner/tests/*.rs runner/tests/*/main.rs; do
        name=$(basename "${path%/main.rs}" .rs)
        if [ "$name" != suites ] && [ "$name" != fault_list ] && ! needs_reference "$name"; then
            targets+=(--test "$name")
        fi
    done
    cargo test --locked --no-default-features -p bitnet-runner --lib "${targets[@]}"
}

# Whether the manifest says that the test needs a reference's feature.
needs_reference() {
    awk -v name="name = \"$1\"" '
        BEGIN { RS = ""; FS = "\n" }
        /required-features/ { for (i = 1; i <= NF; i++) if ($i == name) found = 1 }
        END { exit !found }
    ' runner/Cargo.toml
}

# Every trial but benchmarks; goldens answer for the references. Then every figure of the receipts anew.
suites() {
    rm -rf out/receipts
    mkdir -p out
    cargo run --locked --no-default-features -p bitnet-runner --bin parity -- \
        run ci-light:: --skip ::bench:: --receipts out/receipts --junit out/junit.xml \
        --markdown out/summary.md
    cargo run --locked --no-default-features -p bitnet-runner --bin parity -- \
        receipt verify out/receipts
    cargo run --locked --no-default-features -p bitnet-runner --bin parity -- \
        report --title 'Against goldens' --out out/report.html out/receipts
}

licences() {
    cargo deny --locked check licenses bans sources
}

all() {
    local step start
    for step in checks engine runner suites licences; do
        start=$SECONDS
        printf '\n== %s\n' "$step"
        # A shell of its own, so that `set -e` holds in it.
        bash "$0" "$step"
        printf '== %s: %d s\n' "$step" $((SECONDS - start))
    done
}

case ${1:-all} in
checks | engine | runner | suites | licences | all) "${1:-all}" ;;
*)
    echo "error: no step '$1'; steps: checks, engine, runner, suites, licences, all" >&2
    exit 2
    ;;
esac
