#!/usr/bin/env bash
# The whole suite in order of cost; `make test` and CI call this. A failing stage ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
stage() { printf '\n== %s (%s s so far)\n' "$1" "$SECONDS"; }

stage "static checks: format, lint, types, import rules"
$bin/ruff format --check .
$bin/ruff check .
$bin/mypy
$bin/lint-imports

stage "programs of the local cluster (built once, then cached)"
$bin/atheria-local build

stage "unit and contract tests"
$bin/python -m pytest tests/unit tests/contract -q -n 2

stage "integration tests of the model server: real processes, foreign clients, faults"
$bin/python -m pytest tests/integration/server -q -n 2 --dist loadfile

stage "integration tests: real API server, real Envoy"
$bin/python -m pytest tests/integration --ignore tests/integration/server -q -n 2 --dist loadfile

stage "end-to-end tests: the local cluster, the chart, our images"
$bin/python -m pytest tests/e2e -q

printf '\nall stages passed in %s s\n' "$SECONDS"
