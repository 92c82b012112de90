"""Checks of calls that take longer than the front's event loop may be held: one after the other, each in a thread.

Used by `engine.service` for models that say which calls those are (`models.contract.SlowlyChecked`), such as texts that are
long to turn into tokens. Other calls are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final, TypeVar

from atheria_server.core.errors import FullError

WAITING_MAX: Final = 64
"""Checks under way and waiting; more are refused."""
WAITING_BYTES_MAX: Final = 64 << 20
"""Of their calls together; one alone may have more."""
Result = TypeVar("Result")


class SlowChecks:
    """Whose turn it is, and how many wait."""

    def __init__(self, waiting_max: int = WAITING_MAX, waiting_bytes_max: int = WAITING_BYTES_MAX) -> None:
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max
        self._waiting = 0
        self._waiting_bytes = 0
        self._turn = asyncio.Lock()

    async def run(self, check: Callable[[], Result], size_bytes: int) -> Result:
        """What `check` of a call of `size_bytes` gives or raises. Raises FullError.

        Of a caller that leaves while it waits, it is not made and nothing is kept; one under way keeps its place until it ends.
        """
        self._enter(size_bytes)
        try:
            await self._turn.acquire()
        except BaseException:
            self._leave(size_bytes)
            raise
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ended.add_done_callback(lambda _: self._ended(size_bytes))
        try:
            outcome = _in_thread(check, ended)
        except BaseException:
            ended.cancel()
            raise
        await asyncio.shield(ended)
        try:
            return outcome.result()
        finally:
            del (
                outcome,
                check,
            )  # An error knows this frame: the call's memory must not wait for the collector.

    def _enter(self, size_bytes: int) -> None:
        together = self._waiting_bytes + size_bytes
        if self._waiting >= self._waiting_max or (self._waiting and together > self._waiting_bytes_max):
            raise FullError(
                f"{self._waiting} calls with {self._waiting_bytes} bytes wait for the check of a long input, at most "
                f"{self._waiting_max} with {self._waiting_bytes_max} bytes may; try again later"
            )
        self._waiting += 1
        self._waiting_bytes = together

    def _leave(self, size_bytes: int) -> None:
        self._waiting -= 1
        self._waiting_bytes -= size_bytes

    def _ended(self, size_bytes: int) -> None:
        self._leave(size_bytes)
        self._turn.release()


def _in_thread(check: Callable[[], Result], ended: asyncio.Future[None]) -> Future[Result]:
    """A thread of its own, which does not hold the process up when that ends, as those of an executor do."""
    loop = ended.get_loop()
    outcome: Future[Result] = Future()

    def work() -> None:
        _check_into(outcome, check)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(ended.set_result, None)

    threading.Thread(target=work, name="atheria-slow-check", daemon=True).start()
    return outcome


def _check_into(outcome: Future[Result], check: Callable[[], Result]) -> None:
    try:
        outcome.set_result(check())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
        outcome.set_exception(error)
        del outcome, check
