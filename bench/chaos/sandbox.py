"""Namespaces of its own for a run, and a folder: every address of the pods is local there, and no process outlives it.

`__main__` enters before anything else starts, and so do the other commands that run on the same real processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from atheria_local import programs

POD_RANGE: Final = "10.244.0.0/16"
_INSIDE: Final = "ATHERIA_CHAOS_INSIDE"
_NOT_KEPT: Final = ("*.sock", "*.kubeconfig")
"""Sockets cannot be copied, and tokens are nobody's business."""


def is_inside() -> bool:
    """Whether this process is the one that `enter` started."""
    return _INSIDE in os.environ


def ensure_inside(module: str) -> None:
    """Return inside only; outside become `unshare`, which runs `module` again with the same arguments. CalledProcessError."""
    if not is_inside():
        # There is no network inside to build them with.
        programs.ensure(programs.KUBE, programs.HELM)
        _enter(sys.argv[1:], module)
    _prepare()


@contextmanager
def working_folder(folder: Path, keep: Path | None, *not_kept: str) -> Iterator[Path]:
    """`folder`, removed at the end; before that copied to `keep`, where that is given, without files that fit `not_kept`."""
    try:
        yield folder
    finally:
        if keep is not None:
            ignored = shutil.ignore_patterns(*_NOT_KEPT, *not_kept)
            shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=ignored)
        shutil.rmtree(folder, ignore_errors=True)


def _enter(arguments: list[str], module: str) -> NoReturn:
    """New namespaces for network and processes.

    Its death is the death of all in it. Without root a user namespace gives the rights.
    """
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = [
        "unshare",
        *rights,
        *("--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *(sys.executable, "-m", module, *arguments),
    ]
    os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})  # noqa: S606 - there is no shell to hide from


def _prepare() -> None:
    """The loopback device is up, and each address of POD_RANGE is this machine's own. CalledProcessError."""
    for step in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "route", "add", "local", POD_RANGE, "dev", "lo"],
    ):
        subprocess.run(step, check=True, timeout=10)
