"""Who is to be woken, by model. Events of all kinds only wake; the loops look at everything whenever they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atheria_operator.api.model import ModelKey


class Wakeups:
    """Any number of loops may listen for the same model."""

    def __init__(self, woken: Callable[[], None] = lambda: None) -> None:
        """`woken` is told of each wake of a model that somebody listens for."""
        self._woken = woken
        self._listeners: dict[ModelKey, list[Callable[[], None]]] = {}

    @contextmanager
    def listening(self, key: ModelKey, *wakes: Callable[[], None]) -> Iterator[None]:
        """Call `wakes` at every wake of the model; they must not fail."""
        self._listeners.setdefault(key, []).extend(wakes)
        try:
            yield
        finally:
            for wake in wakes:
                self._listeners[key].remove(wake)
            if not self._listeners[key]:
                del self._listeners[key]

    def wake(self, key: ModelKey) -> None:
        """Wake the listeners of one model."""
        listeners = self._listeners.get(key, ())
        for listener in tuple(listeners):
            listener()
        if listeners:
            self._woken()

    def wake_all(self) -> None:
        """Wake all, e.g. after a change of a hardware profile."""
        for listeners in tuple(self._listeners.values()):
            for listener in tuple(listeners):
                listener()
