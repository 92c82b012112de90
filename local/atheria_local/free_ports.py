"""TCP ports for programs that bind theirs later: no two calls of one user get the same one while who asked lives.

Called for control planes, benchmarks and tests, of which several processes start programs at once. A port that is only looked for and let
go again is given to two of them sooner or later, and programs that share ports (SO_REUSEPORT, as Envoy) do not even complain.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import Final

ADDRESS: Final = "127.0.0.1"
FIRST, LAST = 19_100, 28_000
"""Above what programs here listen on by themselves (Envoy Gateway's 18000), below what pages name (28000), and below those that Linux,
unless it is told otherwise, gives to connections and to who binds port 0."""
_TRIES: Final = 1000
_given: set[int] = set()
_claims: list[int] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, claimed until this process ends. Raises OSError where none is found or can be claimed."""
    for _ in range(_TRIES):
        port = random.randrange(FIRST, LAST)  # noqa: S311 - no secret
        if port in _given or not _claim(port):
            continue
        if _is_free(port):
            _given.add(port)
            return port
        fcntl.lockf(_claims[0], fcntl.LOCK_UN, 1, port)
    raise OSError(
        f"no free port of {ADDRESS} from {FIRST} to {LAST - 1} in {_TRIES} tries: end what listens there"
    )


def _claim(port: int) -> bool:
    """Whether it is this process's now, by a lock on the port's byte of one file: the kernel gives it back with the process, however that ends."""
    if not _claims:
        path = Path(tempfile.gettempdir()) / f"atheria-ports-{os.geteuid()}"
        _claims.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        fcntl.lockf(_claims[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as one, contextlib.suppress(OSError):
        one.bind((ADDRESS, port))
        return True
    return False
