"""Times functions side by side: A B A B, so that what else the machine does touches all of them alike."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Final

from atheria_server.core.timings import Timings

CLOCKS: Final[Mapping[str, Callable[[], float]]] = {"wall": time.perf_counter, "processor": time.process_time}
"""`processor` counts the processor seconds of this process: on a busy machine they say more than the time that passed,
but only for a model on the CPU with one thread."""
SAMPLE_SECONDS: Final = 0.02
"""A round calls a function until it has taken about so long, and divides."""
CALLS_MAX: Final = 1000


def interleaved(
    work: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    sample_seconds: float = SAMPLE_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timings]:
    """Seconds of a call of each function, one value a round; the order within a round is shuffled, always the same way.

    Each function is first called twice without counting. Raises what the functions raise.
    """
    calls = {}
    for name, function in work.items():
        function()
        calls[name] = max(
            1, min(CALLS_MAX, math.ceil(sample_seconds / max(_timed(function, 1, clock), 1e-9)))
        )
    order = list(work)
    shuffle = random.Random(0)  # noqa: S311 - an order, not a secret
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            seconds[name].append(_timed(work[name], calls[name], clock))
    return {name: Timings(seconds=tuple(values)) for name, values in seconds.items()}


def load_average() -> float:
    """Of the last minute: what else the machine was doing."""
    return os.getloadavg()[0]


def _timed(function: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(calls):
        function()
    return (clock() - began) / calls
