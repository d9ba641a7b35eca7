#!/usr/bin/env bash
# Installs what a CI step needs beside the runner's image: the toolchain of rust-toolchain.toml, and the
# cargo tools that are named.
#   bash scripts/ci_setup.sh [cargo-deny]
set -euo pipefail
cd "$(dirname "$0")/.."

rustup toolchain install
for tool in "$@"; do
    case $tool in
    cargo-deny) cargo install --locked cargo-deny@0.20.2 ;;
    *)
        echo "error: no version is pinned for '$tool'; tools: cargo-deny" >&2
        exit 2
        ;;
    esac
done
