"""The calls that a described model makes before the server says ready; they also measure its memory.

Called by the engine for each new worker, through `app`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from atheria_server.core.errors import FailedError, InvalidCallError, StartError
from atheria_server.core.memory_fit import Footprint, row_bytes, rows_that_fit
from atheria_server.core.padding import PaddingError
from atheria_server.engine.calls import described_call
from atheria_server.engine.crew import Compute
from atheria_server.models.contract import InvalidRequestError

_LOG = logging.getLogger("atheria.warm_up")


class WarmUp:
    """Warm-up of one model."""

    def __init__(
        self,
        api: Any,
        *,
        shapes: Sequence[tuple[int, ...]],
        max_batch_size: int,
        limit_rows: Callable[[Hashable, int], None],
        clock: Callable[[], float],
    ) -> None:
        """`limit_rows` is told of a bucket whose full batch the memory does not hold."""
        self._api = api
        self._shapes = shapes
        self._max_batch_size = max_batch_size
        self._limit_rows = limit_rows
        self._clock = clock

    async def run(self, compute: Compute) -> None:
        """Alone, then as the largest batch that the memory holds. Raises StartError."""
        await self._warm(1, compute)
        if self._max_batch_size == 1:
            return
        # The first computation of a shape makes what later ones use again: measure the second.
        alone = await self._warm(1, compute, measured=True)
        full = await self._warm(self._max_batch_size, compute, measured=True)
        smallest = self._max_batch_size
        for (_, small), (bucket, large) in zip(alone, full, strict=True):
            if small is None or large is None:
                continue
            fits = rows_that_fit(self._max_batch_size, small, large)
            _LOG.info(
                "event=memory_measured row_bytes=%d free_bytes=%d rows_that_fit=%d",
                row_bytes(small, large),
                large.free_bytes,
                fits,
            )
            if fits < self._max_batch_size:
                self._limit_rows(bucket, fits)
                smallest = min(smallest, fits)
        if smallest < self._max_batch_size:
            await self._warm(smallest, compute)

    async def _warm(
        self, rows: int, compute: Compute, *, measured: bool = False
    ) -> list[tuple[Hashable, Footprint | None]]:
        """The bucket of each shape, and what it took."""
        found: list[tuple[Hashable, Footprint | None]] = []
        try:
            for index, warm in enumerate(self._api.warmup_calls(self._shapes, rows)):
                began = self._clock()
                valid = self._api.validate(warm.inputs, warm.parameters, streaming=False)
                call = described_call(valid, (), streaming=False)
                found.append((call.bucket, await compute(call, measured=measured)))
                shape = list(self._shapes[index]) if index < len(self._shapes) else "default"
                if rows > 1 or not measured:
                    _LOG.info(
                        "event=warmup_shape shape=%s rows=%d seconds=%.3f", shape, rows, self._clock() - began
                    )
        except (InvalidRequestError, FailedError, InvalidCallError, PaddingError) as error:
            raise StartError(f"warm-up with {rows} rows failed: {error}") from error
        return found
