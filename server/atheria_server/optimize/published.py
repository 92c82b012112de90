"""Writes a file that other processes may read at any moment: whole or not at all. For verdicts and evaluations."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def publish(path: Path, data: bytes) -> None:
    """Under its name only when it is complete, over an older one; its folder is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Other pods may run as other users.
            os.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
