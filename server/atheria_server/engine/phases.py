"""What a worker does before it can compute, told to the front as it happens, and the bounds that the front holds it to.

Sent by `engine.worker_main`, waited for by `engine.crew`. A phase with a bound that never ends is ended by the front,
whatever the model's code does meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from atheria_server.core.errors import StartError

_LOG = logging.getLogger("atheria.engine")
PROGRESS_SECONDS: Final = 15.0
"""While a phase lasts, a line in the log this often."""
PARTS_SECONDS: Final = 5.0
"""Of a phase with many short parts, a line in the log this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One step of a worker's start."""

    name: str
    """In small letters, for the log and for people: `loading`, `compiling`, `judging`."""
    done: int = 0
    total: int = 0
    """Parts that are done, of how many; 0 = not counted."""
    detail: str = ""
    bound_seconds: float | None = None
    """Longest time until the next phase or the end; None = as long as it takes."""
    overdue: str = ""
    """What to say when it took longer: `Reason: sentence`."""

    def body(self) -> dict[str, Any]:
        """As it is sent."""
        return asdict(self)

    @property
    def text(self) -> str:
        """For people."""
        part = f" {self.done} of {self.total}" if self.total else ""
        return f"{self.name}{part}" + (f" ({self.detail})" if self.detail else "")


class Progress(Protocol):
    """Who is told of each phase as it begins."""

    def __call__(self, phase: Phase) -> None:
        """`phase` begins; the one before it has ended."""


def no_progress(phase: Phase) -> None:
    """For who does not show it."""


class Starting(Protocol):
    """A worker that starts, as `PhaseWatch` sees it."""

    loaded: asyncio.Future[Mapping[str, Any]]
    phases: asyncio.Queue[Phase]

    @property
    def pid(self) -> int:
        """Process id."""

    def kill(self) -> None:
        """End it now."""


class PhaseWatch:
    """Follows the phases of one worker."""

    def __init__(self) -> None:
        self.phase = Phase(name="loading")
        """What it does now."""

    async def loaded(self, worker: Starting) -> Mapping[str, Any]:
        """What it says when it can compute. Raises what `worker.loaded` does, and StartError for a phase that took too long."""
        loop = asyncio.get_running_loop()
        began = since = told = loop.time()
        while True:
            next_phase = asyncio.ensure_future(worker.phases.get())
            waits: set[asyncio.Future[Any]] = {worker.loaded, next_phase}
            try:
                bound = self.phase.bound_seconds
                left = (
                    PROGRESS_SECONDS if bound is None else min(PROGRESS_SECONDS, since + bound - loop.time())
                )
                done, _ = await asyncio.wait(
                    waits, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED
                )
                if next_phase in done:
                    before, self.phase = self.phase, next_phase.result()
                    since = loop.time()
                    if before.name != self.phase.name or since - told >= PARTS_SECONDS:
                        told = since
                        _LOG.info(
                            "event=phase pid=%d seconds=%.1f phase=%r",
                            worker.pid,
                            since - began,
                            self.phase.text,
                        )
                elif worker.loaded in done:
                    return worker.loaded.result()
                elif bound is not None and loop.time() >= since + bound:
                    worker.kill()
                    raise StartError(
                        self.phase.overdue or f"{self.phase.text} did not end within {bound:g} s"
                    )
                else:
                    _LOG.info(
                        "event=model_loading pid=%d seconds=%.0f phase=%r",
                        worker.pid,
                        loop.time() - began,
                        self.phase.text,
                    )
            finally:
                next_phase.cancel()
