"""What the engine keeps of each call that waits and of each worker. Used by `engine.engine` and `engine.crew` only."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from atheria_server.core.request import QueuedCall
from atheria_server.engine.calls import Call
from atheria_server.engine.launch import WorkerSpec
from atheria_server.engine.process import WorkerProcess


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """A call that was accepted and is not answered."""

    call: Call
    queued: QueuedCall
    started: asyncio.Future[Any]
    """A batch: the call's result. A stream: its worker and its handle there."""
    has_begun: bool = False
    """It was sent to a worker: it may have had effects."""
    is_retried: bool = False
    """Its first worker died; it is not tried a third time."""


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """Place of one worker; the process in it changes when it dies."""

    spec: WorkerSpec
    worker: WorkerProcess
    ready: bool = False
    deaths: list[float] = field(default_factory=list)
