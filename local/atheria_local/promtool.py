"""promtool, which checks our metrics' names in the tests, and Prometheus itself, which the dashboards are asked through: those in
PATH, or Debian's, unpacked into the cache.

Called by `make setup`. Debian's package would also start a Prometheus, so it is not installed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from atheria_local import paths
from atheria_local.progress import step
from atheria_local.shell import run

PACKAGE: Final = "prometheus"
PROGRAM: Final = "promtool"
SERVER: Final = "prometheus"
MISSING: Final = f"{PROGRAM} was found neither in PATH nor in the cache: run `make setup` on Debian, or install it from Prometheus"


def cached(program: str = PROGRAM) -> Path:
    """Where `ensure` puts it."""
    return paths.CACHE / "programs" / PROGRAM / program


def find(program: str = PROGRAM) -> str:
    """The program's path, or an empty string."""
    return shutil.which(program) or (str(cached(program)) if os.access(cached(program), os.X_OK) else "")


def ensure() -> None:
    """Fetch what is missing of both if there is apt. Raises LocalError."""
    missing = [program for program in (PROGRAM, SERVER) if not find(program)]
    if not missing or shutil.which("apt-get") is None:
        return
    log = paths.CACHE / "log" / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    cached().parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"{' and '.join(missing)} of Debian's package {PACKAGE}"),
        tempfile.TemporaryDirectory() as making,
    ):
        folder = Path(making)
        run(["apt-get", "update", "-q"], timeout_seconds=300, log=log)
        run(["apt-get", "download", "-q", PACKAGE], timeout_seconds=300, directory=folder, log=log)
        run(["dpkg", "-x", next(folder.glob("*.deb")).name, "package"], directory=folder, log=log)
        for program in missing:
            part = cached(program).with_suffix(f".{os.getpid()}")
            shutil.copy(folder / "package" / "usr" / "bin" / program, part)
            part.rename(cached(program))
