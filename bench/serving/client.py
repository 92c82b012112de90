"""The load: a process of its own. The benchmark writes one `Load` a line to its stdin and reads what it saw, a line each.

Closed loop: every caller sends its next call when the last one is answered. Open loop: calls are sent at fixed times, whether
or not earlier ones are answered, and latency counts from the time at which a call should have been sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Final

import uvloop

from bench.serving import model, payloads
from bench.serving.connections import Connection, RefusedError, connect
from bench.serving.processes import cpu_seconds, is_running, resident_bytes

CHECK_EVERY: Final = 50
EXAMPLES: Final = 32
TICK_SECONDS: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send, to whom, for how long."""

    target: str
    """host:port"""
    kind: str
    """One of payloads.FORMATS."""
    token: str
    """Of the server's processes, for their processor time and memory."""
    pid: int
    """Of the server's first process: without it there is nothing to wait for."""
    seconds: float
    """0 = only wait for the first right answer."""
    warmup_seconds: float = 1.0
    ready_seconds: float = 120.0
    """How long the first right answer may take."""
    callers: int = 32
    """Closed loop only."""
    connections: int = 4
    """Of gRPC; HTTP takes one for each caller."""
    calls_per_second: float = 0.0
    """More than 0: open loop."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What happened inside the timed window. Times are seconds from its beginning."""

    seconds: float = 0.0
    answered: int = 0
    """Right answers that arrived in the window."""
    offered: int = 0
    """Open loop: calls sent."""
    latency_seconds: list[float] = field(default_factory=list)
    """Of the answered ones."""
    refusals: dict[str, dict[str, int]] = field(default_factory=dict)
    """Calls by code and reason."""
    refusal_examples: dict[str, str] = field(default_factory=dict)
    """One message by code."""
    wrong: str = ""
    """Why an answer was wrong; the measurement is then void."""
    server_cpu_seconds: float = 0.0
    client_cpu_seconds: float = 0.0
    resident_bytes: list[tuple[float, int]] = field(default_factory=list)
    """Open loop: time and the server's memory."""
    worst_delay_seconds: float = 0.0
    """Open loop: how late the client itself was."""


class NotReadyError(Exception):
    """The server did not give a right answer; the message says why."""


class Client:
    """One load."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = [payloads.request_bytes(load.kind, index) for index in range(EXAMPLES)]
        self._connections: list[Connection] = []
        self._seen = Seen()
        self._checked = 0
        self._begin = 0.0
        self._end = 0.0

    async def run(self) -> Seen:
        """Wait until the server answers rightly, warm up, measure. Raises NotReadyError."""
        try:
            await self._until_ready()
            if self._load.seconds == 0:
                return self._seen
            count = self._load.connections if self._load.kind in payloads.GRPC_KINDS else self._load.callers
            # A gRPC channel belongs to the event loop in which it is made.
            self._connections = [
                connect(self._load.kind, self._load.target) for _ in range(min(count, self._load.callers))
            ]
            run = self._open_loop() if self._load.calls_per_second else self._closed_loop()
            self._begin = time.perf_counter() + self._load.warmup_seconds
            self._end = self._begin + self._load.seconds
            clock = asyncio.create_task(self._account())
            await run
            await clock
        finally:
            for connection in self._connections:
                await connection.close()
        self._seen.seconds = self._load.seconds
        return self._seen

    async def _until_ready(self) -> None:
        deadline = time.perf_counter() + self._load.ready_seconds
        while True:
            probe = connect(self._load.kind, self._load.target)
            try:
                answer, headers = await probe.call(self._requests[0])
                if reason := payloads.wrong(self._load.kind, 0, answer, headers):
                    raise NotReadyError(f"the server's first answer is wrong: {reason}")
                return
            except RefusedError as error:
                if not is_running(self._load.pid):
                    raise NotReadyError("the server ended before it answered") from error
                if time.perf_counter() > deadline:
                    raise NotReadyError(
                        f"the server did not answer within {self._load.ready_seconds:g} s: {error}"
                    ) from error
                await asyncio.sleep(0.1)
            finally:
                await probe.close()

    async def _closed_loop(self) -> None:
        async with asyncio.TaskGroup() as callers:
            for index in range(self._load.callers):
                callers.create_task(self._caller(index))

    async def _caller(self, index: int) -> None:
        connection = self._connections[index % len(self._connections)]
        now = time.perf_counter()
        while now < self._end and not self._seen.wrong:
            now = await self._call(connection, index % EXAMPLES, now)

    async def _open_loop(self) -> None:
        interval = 1 / self._load.calls_per_second
        due = time.perf_counter()
        sent = 0
        async with asyncio.TaskGroup() as calls:
            while due < self._end and not self._seen.wrong:
                now = time.perf_counter()
                while due <= now and due < self._end:
                    if due >= self._begin:
                        self._seen.offered += 1
                        self._seen.worst_delay_seconds = max(self._seen.worst_delay_seconds, now - due)
                    connection = self._connections[sent % len(self._connections)]
                    calls.create_task(self._call(connection, sent % EXAMPLES, due))
                    sent += 1
                    due += interval
                await asyncio.sleep(TICK_SECONDS)

    async def _call(self, connection: Connection, example: int, began: float) -> float:
        """Make one call and count it; gives the time of its answer."""
        try:
            answer, headers = await connection.call(self._requests[example])
        except RefusedError as error:
            now = time.perf_counter()
            if self._begin <= now < self._end:
                reasons = self._seen.refusals.setdefault(error.code, {})
                reasons[error.reason] = reasons.get(error.reason, 0) + 1
                self._seen.refusal_examples.setdefault(error.code, str(error)[:300])
            return now
        now = time.perf_counter()
        self._checked += 1
        if self._checked % CHECK_EVERY == 0 or len(answer) < model.CALL_BYTES:
            self._seen.wrong = self._seen.wrong or payloads.wrong(self._load.kind, example, answer, headers)
        if self._begin <= now < self._end:
            self._seen.answered += 1
            self._seen.latency_seconds.append(now - began)
        return now

    async def _account(self) -> None:
        """Processor time of both sides in the window; each second the server's memory, if the loop is open."""
        await asyncio.sleep(self._begin - time.perf_counter())
        server, client = cpu_seconds(self._load.token), time.process_time()
        while self._load.calls_per_second and (now := time.perf_counter()) < self._end:
            self._seen.resident_bytes.append((now - self._begin, resident_bytes(self._load.token)))
            await asyncio.sleep(min(1.0, self._end - now))
        await asyncio.sleep(max(0.0, self._end - time.perf_counter()))
        self._seen.server_cpu_seconds = cpu_seconds(self._load.token) - server
        self._seen.client_cpu_seconds = time.process_time() - client


async def serve() -> None:
    """Loads from stdin, one after the other, until it ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            document = asdict(await Client(Load(**json.loads(line))).run())
        except NotReadyError as error:
            document = {"failed": str(error)}
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
