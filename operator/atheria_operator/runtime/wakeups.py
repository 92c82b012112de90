"""Wake flags by model. Events of all kinds only set them; the loops look at everything whenever they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atheria_operator.api.model import ModelKey


class Wakeups:
    """Any number of loops may wait for the same model; a wake before the wait is not lost."""

    def __init__(self, woken: Callable[[], None] = lambda: None) -> None:
        """`woken` is told of each wake of a loop that listens."""
        self._woken = woken
        self._flags: dict[ModelKey, list[asyncio.Event]] = {}

    @contextmanager
    def listening(self, key: ModelKey) -> Iterator[asyncio.Event]:
        """A flag, set at first, that is set again at every wake of the model. Clear it before reading."""
        flag = asyncio.Event()
        flag.set()
        self._flags.setdefault(key, []).append(flag)
        try:
            yield flag
        finally:
            self._flags[key].remove(flag)
            if not self._flags[key]:
                del self._flags[key]

    def wake(self, key: ModelKey) -> None:
        """Set the flags of one model."""
        flags = self._flags.get(key, ())
        for flag in flags:
            flag.set()
        if flags:
            self._woken()

    def wake_all(self) -> None:
        """Set all flags, e.g. after a change of a hardware profile."""
        for flags in self._flags.values():
            for flag in flags:
                flag.set()
