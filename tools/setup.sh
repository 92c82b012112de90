#!/usr/bin/env bash
# Prepare the development environment: Python with venv, uv, .venv with every locked dependency, this project.
# Called by `make setup`; does nothing when the lock files have not changed since the last run.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%-58s' "$1"; start=$(date +%s); }
done_() { printf '%4ss\n' $(($(date +%s) - start)); }
fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || fail "this machine runs $(uname -s): the local cluster needs Linux; elsewhere use your own cluster (README, 'On your own cluster')"

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ] || ! "$python" -c 'import ensurepip' 2>/dev/null; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "Python >= 3.11 with venv is missing: install python3 and python3-venv (3.11 or newer) and run again"
  say "system packages: python3, python3-venv"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates >/dev/null
  done_
  python=python3
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 is $("$python" -V): Python >= 3.11 is needed (Debian 12 has it)"
fi

stamp=$(cat requirements/all.txt requirements/bootstrap.txt requirements/last.txt pyproject.toml | sha256sum | cut -c1-16)
if [ ! -e ".venv/.setup-$stamp" ]; then
  say "uv"
  [ -x .local/bootstrap/bin/python ] || "$python" -m venv .local/bootstrap
  .local/bootstrap/bin/python -m pip install -q --require-hashes -r requirements/bootstrap.txt
  done_
  say "Python packages, by hash (about 5 GB with torch)"
  uv=.local/bootstrap/bin/uv
  [ -x .venv/bin/python ] || "$uv" venv -q --python "$(command -v "$python")" .venv
  "$uv" pip install -q --python .venv/bin/python --require-hashes -r requirements/all.txt
  "$uv" pip install -q --python .venv/bin/python --require-hashes --no-deps --reinstall -r requirements/last.txt
  "$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
  rm -f .venv/.setup-*
  touch ".venv/.setup-$stamp"
  done_
fi
