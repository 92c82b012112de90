"""Every bucket once before ready, timed: what its first call took, compilation included, and what later ones take.

Called by the pipeline, in the worker, after the model was compiled; a bucket that is not called here is not compiled.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.loaded import LoadedModel

TIMED_CALLS: Final = 3
"""After the first one. CUDA graphs need two more calls until they are recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketTime:
    """What one shape took at one batch size."""

    shape: tuple[int, ...]
    """Of one row, as configured; empty = the model's own default."""
    rows: int
    compile_seconds: float
    """Of the first call."""
    run_seconds: float
    """Median of the next TIMED_CALLS."""


def warm(
    loaded: LoadedModel,
    shapes: Sequence[tuple[int, ...]],
    row_buckets: Sequence[int],
    *,
    clock: Callable[[], float],
    progress: Callable[[int, int, str], None] = lambda _done, _total, _detail: None,
) -> Sequence[BucketTime]:
    """Compute the model's `warmup_calls` at every batch size; `progress` gets what is done, of how many, and what is next.

    Raises InvalidRequestError for a shape that the model cannot compute, and what computing raises.
    """
    calls = [
        (tuple(shape), rows, call)
        for shape in list(shapes) or [()]
        for rows in row_buckets
        for call in loaded.api.warmup_calls([shape] if shape else [], rows)
    ]
    times = []
    for done, (shape, rows, call) in enumerate(calls):
        progress(done, len(calls), f"shape {list(shape) or 'default'}, {rows} rows")
        first = _seconds(loaded, call, clock)
        later = statistics.median(_seconds(loaded, call, clock) for _ in range(TIMED_CALLS))
        times.append(BucketTime(shape=shape, rows=rows, compile_seconds=first, run_seconds=later))
    return times


def _seconds(loaded: LoadedModel, call: WarmupCall, clock: Callable[[], float]) -> float:
    began = clock()
    loaded.compute(call)
    return clock() - began
