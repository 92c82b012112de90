"""Many calls of one model at once, and what each waited. Called by `bench`.

Closed loop: so many callers, each calls again when it has its answer. Open loop: calls begin at random moments of a given mean
rate whether or not earlier ones were answered, and a call's time counts from the moment it was due, so that a server that
stalls is not spared the calls that it delayed (G. Tene, coordinated omission).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from atheria_cli.calls.client import inputs_of
from atheria_cli.calls.request import Request
from atheria_cli.calls.statuses import exit_code_of, status_of
from atheria_cli.errors import CommandError

IN_FLIGHT_AT_MOST: Final = 4096
"""In an open loop; a call that is due beyond it counts as not sent."""
SAMPLES_AT_MOST: Final = 1_000_000
"""For percentiles; further answers are counted only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How hard to call."""

    seconds: float
    concurrency: int = 1
    """Callers of a closed loop."""
    rate: float = 0.0
    """Calls a second of an open loop; 0 = closed loop."""
    warm_up_seconds: float = 1.0
    """Calls before are made and not counted."""
    timeout_seconds: float = 60.0
    seed: int = 0

    @property
    def name(self) -> str:
        """`20 calls/s`, `1 caller`, `8 callers`."""
        if self.rate:
            return f"{self.rate:g} calls/s"
        return "1 caller" if self.concurrency == 1 else f"{self.concurrency} callers"


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the calls."""

    seconds: list[float] = field(default_factory=list)
    """Of each answered call that was due after the warm-up, up to SAMPLES_AT_MOST."""
    answered: int = 0
    """All of these calls."""
    ended: int = 0
    """Answers that came in the counted time, whenever their calls began: by them the rate is told."""
    failures: dict[str, int] = field(default_factory=dict)
    """By the server's status and words."""
    not_sent: int = 0
    """Due in an open loop while too many were in flight."""
    counted_seconds: float = 0.0
    sent_late_seconds: float = 0.0
    """How long after it was due a call of an open loop left at most: this machine's part of the wait, not the server's."""


Call = Callable[[], Awaitable[None]]


async def make_load(call: Call, load: Load, progress: Callable[[float, int], None]) -> Tally:
    """Make the calls; `progress(share, calls)` is told about ten times a second. Raises nothing of a call's."""
    tally = Tally()
    began = time.monotonic()
    counted_from = began + load.warm_up_seconds
    until = counted_from + load.seconds

    async def one(due: float) -> None:
        words = ""
        if due >= counted_from:
            tally.sent_late_seconds = max(tally.sent_late_seconds, time.monotonic() - due)
        try:
            await call()
        except InferenceServerException as error:
            words = f"{status_of(error) or 'UNKNOWN'}: {error.message()}"
        now = time.monotonic()
        if not words and counted_from <= now < until:
            tally.ended += 1
        if due < counted_from:
            return
        if words:
            tally.failures[words] = tally.failures.get(words, 0) + 1
            return
        tally.answered += 1
        if len(tally.seconds) < SAMPLES_AT_MOST:
            tally.seconds.append(now - due)

    async def tell() -> None:
        while True:
            share = (time.monotonic() - began) / (until - began)
            progress(min(1.0, share), tally.answered)
            await asyncio.sleep(0.1)

    teller = asyncio.create_task(tell())
    try:
        if load.rate:
            await _open_loop(one, load, (began, counted_from, until), tally)
        else:
            await _closed_loop(one, load, until)
    finally:
        teller.cancel()
    tally.counted_seconds = load.seconds
    return tally


async def _closed_loop(one: Callable[[float], Awaitable[None]], load: Load, until: float) -> None:
    async def caller() -> None:
        while (due := time.monotonic()) < until:
            await one(due)

    async with asyncio.TaskGroup() as callers:
        for _ in range(load.concurrency):
            callers.create_task(caller())


async def _open_loop(
    one: Callable[[float], Awaitable[None]], load: Load, times: tuple[float, float, float], tally: Tally
) -> None:
    began, counted_from, until = times
    pauses = random.Random(load.seed)  # noqa: S311 - arrivals, not secrets
    due = began
    running: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as calls:
        while (due := due + pauses.expovariate(load.rate)) < until:
            # Also where it is due already: the calls before must begin, or all would leave in one burst.
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(running) >= IN_FLIGHT_AT_MOST:
                tally.not_sent += due >= counted_from
                continue
            task = calls.create_task(_run(one(due)))
            running.add(task)
            task.add_done_callback(running.discard)


async def _run(call: Awaitable[None]) -> None:
    await call


async def load_model(request: Request, load: Load, progress: Callable[[float, int], None]) -> Tally:
    """Make the request again and again. Raises CommandError where even a first call fails."""
    connection = request.connection
    client = triton.InferenceServerClient(connection.address, ssl=bool(connection.tls), **connection.tls)
    inputs = inputs_of(request.arrays, request.declared)

    async def call() -> None:
        await client.infer(
            connection.model,
            inputs,
            parameters=dict(request.parameters) or None,
            headers=connection.headers,
            client_timeout=load.timeout_seconds,
        )

    try:
        await call()
        return await make_load(call, load, progress)
    except InferenceServerException as error:
        raise CommandError(
            f"the first call failed: {status_of(error)}: {error.message()}", exit_code_of(error)
        ) from error
    finally:
        await client.close()
