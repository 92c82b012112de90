"""The calls of a replay: some minutes of the made-up hours that are committed for the simulator."""

from __future__ import annotations

import random
from collections.abc import Sequence

from atheria_operator.simulation.calls import Call, TokenModel
from bench.autoscaling.arrivals import load_models, synthetic_calls

LONGEST_SECONDS = 20.0
"""A longer call is cut to this: one of a minute would decide about five minutes by itself."""


def window(hour: str, *, seed: int, begin_seconds: float, seconds: float, share: float) -> tuple[Call, ...]:
    """Calls of `hour` (code or conv) from `begin_seconds` on, the first second being 0; of them `share` (0 to 1), drawn with the seed.

    Raises ValueError for an unknown hour, or where no call is left.
    """
    models = load_models()
    if hour not in models:
        raise ValueError(f"hour is {hour!r}; allowed: {', '.join(sorted(models))}")
    draw = random.Random(seed)
    end = begin_seconds + seconds
    found = tuple(
        Call(
            arrival_seconds=call.arrival_seconds - begin_seconds,
            service_seconds=min(call.service_seconds, LONGEST_SECONDS),
        )
        for call in synthetic_calls(models[hour], seed, TokenModel())
        if draw.random() < share and begin_seconds <= call.arrival_seconds < end
    )
    if not found:
        raise ValueError(f"no call of {hour} from {begin_seconds:g} s to {end:g} s; another window has some")
    return found


def shape_of(calls: Sequence[Call], seconds: float) -> str:
    """In words: how many, how long, how busy they keep slots."""
    work = sum(call.service_seconds for call in calls)
    return (
        f"{len(calls)} calls in {seconds:g} s, {work / len(calls):.2f} s each on average, "
        f"{work / seconds:.2f} at work at a time on average"
    )
