"""One line a step, with its seconds; safe to use from several threads at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()


def say(text: str) -> None:
    """Print one whole line at once."""
    with _LOCK:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


@contextmanager
def step(title: str, expect: str = "") -> Iterator[list[str]]:
    """Print `✓ title … 1.2 s  note` when the block ends; `expect` is said at once, for steps that take minutes."""
    notes: list[str] = []
    if expect:
        say(f"… {title} ({expect})")
    began = time.monotonic()
    yield notes
    say(f"✓ {title:<54}{time.monotonic() - began:7.1f} s  {'; '.join(notes)}".rstrip())
