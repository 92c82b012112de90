"""Only one pod compiles: a file that says who does, renewed while it does. Used by `CompileCache`.

Works on any file system that creates a file exclusively (NFS too), and compares no clocks: a lease is dead when its
content has not changed for a while by the watcher's own clock. Two pods that take over a dead lease at the same moment
both compile; that costs time and nothing else, for entries are published atomically.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_LOG = logging.getLogger("atheria.compile")
STALE_SECONDS: Final = 60.0
"""A lease that was not renewed for so long is dead."""
RENEWALS: Final = 6
"""Times that a living lease is renewed in that time."""


class Lease:
    """A lease that this process holds; `release` it."""

    def __init__(self, path: Path, stale_seconds: float) -> None:
        """Use `acquire`."""
        self._path = path
        self._name = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        self._count = 0
        self._ended = threading.Event()
        self._interval = stale_seconds / RENEWALS
        self._renewer = threading.Thread(target=self._renew, name="compile-lease", daemon=True)

    @classmethod
    def acquire(cls, path: Path, *, stale_seconds: float = STALE_SECONDS) -> Self | None:
        """The lease, or None where somebody has it. Raises OSError."""
        lease = cls(path, stale_seconds)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return None
        with os.fdopen(descriptor, "w") as file:
            file.write(lease._text())
        lease._renewer.start()
        return lease

    def release(self) -> None:
        """Let others compile; nothing if the lease was taken over meanwhile."""
        self._ended.set()
        self._renewer.join()
        with suppress(OSError):
            if self._path.read_text().startswith(self._name):
                self._path.unlink()

    def _text(self) -> str:
        return f"{self._name} {self._count:08d}\n"

    def _renew(self) -> None:
        while not self._ended.wait(self._interval):
            self._count += 1
            try:
                with self._path.open("r+") as file:
                    if not file.read().startswith(self._name):
                        _LOG.warning(
                            "event=compile_lease_lost path=%s reason='another pod took it over'", self._path
                        )
                        return
                    file.seek(0)
                    file.write(self._text())
            except OSError as error:
                _LOG.warning("event=compile_lease_not_renewed path=%s reason=%r", self._path, str(error))
                return


class LeaseWatch:
    """Follows somebody else's lease."""

    def __init__(
        self, path: Path, clock: Callable[[], float], *, stale_seconds: float = STALE_SECONDS
    ) -> None:
        self._path = path
        self._clock = clock
        self._stale_seconds = stale_seconds
        self._seen = ""
        self._since = clock()

    def is_free(self) -> bool:
        """Whether nobody has the lease any more; a dead one is removed."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return True
        now = self._clock()
        if text != self._seen:
            self._seen, self._since = text, now
        elif now - self._since >= self._stale_seconds:
            _LOG.warning("event=compile_lease_dead path=%s holder=%r", self._path, text.strip())
            with suppress(FileNotFoundError):
                self._path.unlink()
            return True
        return False
