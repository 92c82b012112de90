#!/usr/bin/env bash
# The whole suite in order of cost; `make test` and CI call this. A failing stage ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
stage() { printf '\n== %s (%s s so far)\n' "$1" "$SECONDS"; }

stage "unit and contract tests"
$bin/python -m pytest tests/unit tests/contract -q -n 2
