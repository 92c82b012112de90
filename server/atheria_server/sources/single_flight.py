"""One process of a node does a thing that all need, the others wait for it.

The lock is the kernel's (`flock`): it holds between pods that share the folder, and is free at once when its holder dies.
Called by `resolve`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from atheria_server.sources.errors import NotReachableError, UnusableSourceError

_LOOK_SECONDS: Final = 0.1


@contextmanager
def alone(
    lock: Path, *, wait_seconds: float, report_seconds: float, waiting: Callable[[float], None]
) -> Iterator[None]:
    """Holds `lock` inside. `waiting(seconds)` is called at once and then each `report_seconds` while another holds it.

    Raises NotReachableError after `wait_seconds`, UnusableSourceError where the folder cannot lock.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        began = time.monotonic()
        next_report = 0.0
        while not _try(descriptor, lock):
            waited = time.monotonic() - began
            if waited >= wait_seconds:
                raise NotReachableError(
                    f"another process has held {lock} for {waited:.0f} s and does not end; "
                    "end it, or raise ATHERIA_SOURCE_SECONDS"
                )
            if waited >= next_report:
                waiting(waited)
                next_report = waited + report_seconds
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, lock: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise UnusableSourceError(
                f"{lock.parent} is on a file system without locks; set the cache directory to a folder of the node"
            ) from error
        raise
    return True
