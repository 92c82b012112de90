"""Runs one loop of one model: a round after each wake, and after the time that the last round asked for.

Between two rounds there is no task, only a timer: a thousand models have three thousand loops that nearly always wait. Used by
`handlers.model_loops`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable


class Rounds:
    """The rounds of one loop, one after another, until the end has come."""

    __slots__ = (
        "_context",
        "_ended",
        "_failed",
        "_failures",
        "_has_come",
        "_is_woken",
        "_step",
        "_task",
        "_timer",
    )

    def __init__(
        self,
        step: Callable[[], Awaitable[float]],
        failed: Callable[[Exception, int], float],
        has_come: Callable[[], bool],
    ) -> None:
        """`step` is a round, `failed` is told of its exception and of how many came in a row; both return seconds until the next.

        `has_come` says whether the end has come; who changes its answer wakes.
        """
        self._step = step
        self._failed = failed
        self._has_come = has_come
        self._failures = 0
        self._is_woken = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.get_running_loop().create_future()
        # Of whoever makes the loop, not of whoever wakes it: kopf finds its queue of Events in it.
        self._context = contextvars.copy_context()

    def wake(self) -> None:
        """A round now, or right after the one that is under way; it sees all that was changed before."""
        self._is_woken = True
        if self._task is None and not self._ended.done():
            self._go_on(0.0)

    def begin_anew(self) -> None:
        """A round now, as the first one: what made the last ones fail is over."""
        self._failures = 0
        self.wake()

    async def ended(self) -> None:
        """Until the end has come and no round is under way."""
        await asyncio.shield(self._ended)

    async def close(self) -> None:
        """End at once, also in the middle of a round."""
        if not self._ended.done():
            self._ended.set_result(None)
        self._rest()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _go_on(self, wait_seconds: float) -> None:
        self._rest()
        if self._ended.done():
            return
        if self._has_come():
            self._ended.set_result(None)
        elif self._is_woken:
            self._is_woken = False
            self._task = asyncio.get_running_loop().create_task(self._round(), context=self._context)
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait_seconds, self.wake, context=self._context)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _round(self) -> None:
        try:
            wait_seconds = await self._step()
            self._failures = 0
        except Exception as error:  # noqa: BLE001 - one model's failure is told and retried, others go on
            self._failures += 1
            wait_seconds = self._failed(error, self._failures)
        finally:
            self._task = None
        self._go_on(wait_seconds)
