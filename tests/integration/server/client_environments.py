"""Environments for client libraries whose dependencies do not fit ours: made once from a lock of hashes, then kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INSTALL_SECONDS = 600
_UNREACHABLE = ("error sending request", "the network was disabled")


def python_of(lock: str) -> Path:
    """The interpreter with `requirements/<lock>`; skips the test if the registry cannot be reached."""
    requirements = ROOT / "requirements" / lock
    key = f"{requirements.read_text()}{sys.version}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made = cache / "atheria" / "clients" / hashlib.sha256(key.encode()).hexdigest()[:16]
    python = made / "bin" / "python"
    if python.exists():
        return python
    # Beside it and then renamed: two sessions at once, or one that is killed, leave nothing half made.
    building = made.with_name(f"{made.name}.{os.getpid()}")
    try:
        _uv("venv", "--relocatable", "--python", sys.executable, building)
        _uv("pip", "install", "--python", building / "bin" / "python", "--require-hashes", "-r", requirements)
        if not python.exists():
            building.rename(made)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return python


def _uv(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if ended.returncode and any(words in ended.stderr for words in _UNREACHABLE):
        pytest.skip(f"the package registry cannot be reached: {ended.stderr.strip().splitlines()[-1]}")
    assert ended.returncode == 0, f"{' '.join(command)} failed:\n{ended.stderr}"
