"""SIGTERM and Ctrl-C during a training: remembered here, obeyed between two iterations."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopAsked:
    """Which signal came, 0 for none."""

    number = 0

    def __bool__(self) -> bool:
        """Whether one came."""
        return self.number != 0


@contextmanager
def stop_asked(*, interrupts: bool) -> Iterator[StopAsked]:
    """Collects SIGTERM, and SIGINT where `interrupts`, while the block runs. Main thread only."""
    asked = StopAsked()

    def remember(number: int, _frame: Any) -> None:
        asked.number = number

    numbers = (signal.SIGTERM, signal.SIGINT) if interrupts else (signal.SIGTERM,)
    previous = [signal.signal(number, remember) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
