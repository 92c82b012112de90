"""Namespaces of its own for a run: every address of the pods is local there, and no process outlives it.

`__main__` enters before anything else starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final, NoReturn

POD_RANGE: Final = "10.244.0.0/16"
_INSIDE: Final = "ATHERIA_CHAOS_INSIDE"


def is_inside() -> bool:
    """Whether this process is the one that `enter` started."""
    return _INSIDE in os.environ


def enter(arguments: list[str], module: str = "bench.chaos") -> NoReturn:
    """Become `unshare`, which runs `module` again inside new namespaces for network and processes.

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


def prepare() -> None:
    """Inside: the loopback device is up, and each address of POD_RANGE is this machine's own. CalledProcessError."""
    for step in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "route", "add", "local", POD_RANGE, "dev", "lo"],
    ):
        subprocess.run(step, check=True, timeout=10)
