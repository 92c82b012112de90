"""The server in standby: loaded, with its device's memory freed, and awake again within a second.

The engine asks it whether work may be sent and tells it of calls; `transport.standby` brings the orders of operator and gateway. Its
decisions are `core.standby`. A call that comes while it sleeps wakes it and waits in the queue like any other, so none is lost,
whatever the routers know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from atheria_server.core.errors import UnavailableError
from atheria_server.core.standby import Event, Phase, State, step
from atheria_server.engine.device_rest import Rested

_LOG = logging.getLogger("atheria.standby")
ANSWER_SECONDS: Final = 60.0
"""A worker that has not freed or taken its device by then is ended, and another one loads the model."""


class Sleeper(Protocol):
    """A worker, as far as its sleep goes."""

    def rest(self) -> asyncio.Future[Rested]:
        """Free its device. Fails with CallError."""

    def rouse(self) -> asyncio.Future[Rested]:
        """Take its device again. Fails with CallError."""

    def give_up(self) -> None:
        """Have it ended, without waiting."""


class StandbyEvents(Protocol):
    """What is told to the metrics."""

    def slept(self, freed_bytes: int, host_bytes: int) -> None:
        """The workers rest: bytes freed on the device, and kept on the host for it."""

    def woke(self, seconds: float) -> None:
        """They can compute again, after so long."""


class Standby:
    """Of one server; everything runs in the event loop of the engine."""

    def __init__(
        self,
        *,
        workers: Callable[[], Sequence[Sleeper]],
        hindrance: Callable[[], str],
        in_flight: Callable[[], int],
        changed: Callable[[], None],
        events: StandbyEvents,
        fall_seconds: float,
    ) -> None:
        """`workers` gives those that live and are loaded, `hindrance` why it may not sleep; `changed` is called whenever readiness or
        the right to send work may have changed; `fall_seconds` pass between not ready and asleep."""
        self._workers = workers
        self._hindrance = hindrance
        self._in_flight = in_flight
        self._changed = changed
        self._events = events
        self._fall_seconds = fall_seconds
        self._state = State()
        self._falling: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self.rested: list[Rested] = []
        """What the rest of each worker came to; empty while awake."""

    @property
    def is_ready(self) -> bool:
        """Whether routers may send calls."""
        return self._state.is_ready

    @property
    def is_serving(self) -> bool:
        """Whether workers may be given work."""
        return self._state.is_serving

    @property
    def is_asleep(self) -> bool:
        """Whether the workers have freed their devices, as far as they could."""
        return self.phase is Phase.ASLEEP

    @property
    def freed_bytes(self) -> int:
        """Of the devices, while asleep."""
        return sum(one.freed_bytes for one in self.rested)

    @property
    def phase(self) -> Phase:
        """What it does."""
        return self._state.phase

    def report(self) -> dict[str, Any]:
        """For the answer about readiness: its state, and while it sleeps what that freed."""
        told: dict[str, Any] = {"state": self.phase.value}
        if self.rested:
            told["freed_bytes"] = self.freed_bytes
            told["host_bytes"] = sum(one.host_bytes for one in self.rested)
            if notes := sorted({one.note for one in self.rested if one.note}):
                told["note"] = "; ".join(notes)
        return told

    def sleep(self) -> str:
        """Go to sleep; why not, or nothing. Calls in flight, and every call within the delay, keep it awake."""
        if hindrance := self._hindrance():
            return hindrance
        self._happened(Event.SLEEP)
        if self.phase is Phase.AWAKE:
            return f"{self._in_flight()} calls are in flight"
        return "it is waking" if self.phase is Phase.WAKING else ""

    async def wake(self) -> None:
        """Wake it, if it is not awake already, and wait for that. Raises TimeoutError."""
        self.wanted()
        await asyncio.wait_for(self._awake.wait(), ANSWER_SECONDS)

    def wanted(self) -> None:
        """A call came, or somebody asks for it."""
        if self._state.phase is not Phase.AWAKE:
            self._happened(Event.WANTED)

    def lost(self) -> None:
        """A worker died."""
        self._happened(Event.LOST)

    def close(self) -> None:
        """The server ends."""
        for waits in (self._falling, self._moving):
            if waits is not None:
                waits.cancel()

    def _happened(self, event: Event) -> None:
        before, self._state = self._state, step(self._state, event, self._in_flight())
        if before.phase is self._state.phase:
            return
        _LOG.info("event=standby was=%r is=%r because=%s", before.phase.value, self.phase.value, event.value)
        if self._falling is not None:
            self._falling.cancel()
            self._falling = None
        match self._state.phase:
            case Phase.FALLING:
                loop = asyncio.get_running_loop()
                self._falling = loop.call_later(self._fall_seconds, self._happened, Event.QUIET)
                self._awake.clear()
            case Phase.RESTING:
                self._moving = asyncio.create_task(self._rest(), name="rest")
            case Phase.WAKING:
                self._moving = asyncio.create_task(self._rouse(), name="rouse")
            case Phase.AWAKE:
                self.rested = []
                self._awake.set()
        self._changed()

    async def _rest(self) -> None:
        told = await asyncio.gather(*(self._asked(one, one.rest()) for one in self._workers()))
        self.rested = [one for one in told if one is not None]
        report = self.report()
        freed, kept = report.get("freed_bytes", 0), report.get("host_bytes", 0)
        self._events.slept(freed, kept)
        _LOG.info("event=asleep freed_bytes=%d host_bytes=%d note=%r", freed, kept, report.get("note", ""))
        self._happened(Event.RESTED)

    async def _rouse(self) -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(self._asked(one, one.rouse()) for one in self._workers()))
        seconds = asyncio.get_running_loop().time() - began
        self._events.woke(seconds)
        _LOG.info("event=woke seconds=%.3f", seconds)
        self._happened(Event.WOKEN)

    async def _asked(self, worker: Sleeper, answer: asyncio.Future[Rested]) -> Rested | None:
        """A worker that does not or cannot answer is ended: the engine starts another, which loads the model anew."""
        try:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except UnavailableError as error:
            _LOG.warning("event=standby_failed reason=%r", str(error))  # it died, which the engine sees
        except Exception as error:  # noqa: BLE001 - whatever it is, calls may wait for this worker
            _LOG.error("event=standby_failed reason=%r", str(error) or type(error).__name__)
            worker.give_up()
        return None
