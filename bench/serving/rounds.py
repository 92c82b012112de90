"""One round: all servers side by side, measured in turns of a second, so that what else the machine does touches all alike.

Every round starts the servers anew. While one is measured the others are stopped (SIGSTOP): they wait without costing anything,
whatever they do when idle.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from bench.serving.measure import (
    ClientProcess,
    Measured,
    MeasurementError,
    Running,
    running,
    summarise,
)
from bench.serving.servers import BUSY, IDLE, SERVERS

WARMUP_SHARE: Final = 0.3
CALLERS: Final = {BUSY: 32, IDLE: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a round measures."""

    pythons: Mapping[str, str]
    """Interpreter of every server to measure."""
    seconds: Mapping[str, float]
    """Of each load, all turns together."""
    turns: int
    """In how many pieces; a server whose answers take long gets its seconds in one piece."""
    logs: Path
    tree: Path


class Round:
    """One round, measured once."""

    def __init__(self, plan: Plan, client: ClientProcess, shuffle: random.Random) -> None:
        self._plan = plan
        self._client = client
        self._shuffle = shuffle
        self._running: dict[str, Running] = {}
        self._pieces: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.failures: dict[str, str] = {}
        """Why a server has no numbers in this round."""

    def measure(self) -> dict[str, dict[str, Measured]]:
        """Numbers by server and load."""
        with ExitStack() as stack:
            for name in self._shuffled(self._plan.pythons):
                with self._failing(name):
                    self._start(name, stack)
            for load, turn in product((BUSY, IDLE), range(self._plan.turns)):
                for name in self._shuffled(self._running):
                    turns = 1 if SERVERS[name].slow else self._plan.turns
                    if load in SERVERS[name].loads and turn < turns and name not in self.failures:
                        with self._failing(name):
                            self._take_turn(name, load, self._plan.seconds[load] / turns)
        found: dict[str, dict[str, Measured]] = defaultdict(dict)
        for (name, load), pieces in self._pieces.items():
            with self._failing(name):
                found[name][load] = summarise(pieces)
        return {name: loads for name, loads in found.items() if name not in self.failures}

    def _start(self, name: str, stack: ExitStack) -> None:
        server = stack.enter_context(
            running(name, SERVERS[name], self._plan.pythons[name], self._plan.logs, self._plan.tree)
        )
        try:
            self._client.drive(server, server.load(0))
        finally:
            server.process.pause()
        self._running[name] = server

    def _take_turn(self, name: str, load: str, seconds: float) -> None:
        server = self._running[name]
        server.process.resume()
        try:
            seen = self._client.drive(
                server,
                server.load(seconds, warmup_seconds=WARMUP_SHARE * seconds, callers=CALLERS[load]),
            )
        finally:
            server.process.pause()
        self._pieces[name, load].append(seen)

    def _shuffled(self, names: Iterable[str]) -> list[str]:
        order = list(names)
        self._shuffle.shuffle(order)
        return order

    @contextmanager
    def _failing(self, name: str) -> Iterator[None]:
        """A server without numbers does not end the round of the others."""
        try:
            yield
        except MeasurementError as error:
            self.failures[name] = str(error)
