"""One Python environment for each peer, made from its lock (peers/NAME.txt) and kept in the cache by the lock's hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.serving.servers import PEERS


def python_of(peer: str, say: Callable[[str], None]) -> str:
    """The interpreter to start the peer with; installs its environment if it is not there yet. "" = the project's own."""
    if not peer:
        return sys.executable
    lock = PEERS / f"{peer}.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atheria" / "bench"
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.exists():
        say(f"installing {peer} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if uv is None:
            raise SystemExit("uv is missing: run `make setup` first")
        _run(uv, "venv", "-q", "--python", sys.executable, str(folder))
        _run(
            uv,
            "pip",
            "install",
            "-q",
            "--python",
            str(python),
            "--no-deps",
            "--require-hashes",
            "-r",
            str(lock),
        )
        ready.touch()
    return str(python)


def _run(*command: str) -> None:
    if subprocess.run(command, check=False).returncode != 0:
        raise SystemExit(f"failed: {' '.join(command)}; see its message above")
