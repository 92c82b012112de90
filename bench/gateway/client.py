"""The callers: a process of its own. The benchmark writes one `Load` a line to its stdin and reads a `Seen` a line.

Closed loop on one connection: each caller sends its next call when the last one is answered. Connections stay open between loads.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
import uvloop

from atheria_contract import names
from bench.gateway.activator import KEY
from bench.gateway.echo import METHOD

WARMUP_SECONDS: Final = 0.2
CALL_SECONDS: Final = 30.0
READY_SECONDS: Final = 30.0
_METADATA: Final = ((names.HEADER_MODEL, str(KEY)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send, to whom, for how long."""

    target: str
    """host:port"""
    bytes_each: int
    callers: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of it."""

    seconds: float
    latency_seconds: tuple[float, ...]
    """Of every call that was answered, in `seconds`."""


class Client:
    """Channels by target."""

    def __init__(self) -> None:
        self._calls: dict[str, Any] = {}

    async def run(self, load: Load) -> Seen:
        """Raises grpc.aio.AioRpcError when a call fails, ValueError when an answer is wrong."""
        if load.target not in self._calls:
            options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
            self._calls[load.target] = grpc.aio.insecure_channel(load.target, options=options).unary_unary(
                METHOD
            )
            await self._calls[load.target](
                b"", metadata=_METADATA, timeout=READY_SECONDS, wait_for_ready=True
            )
        method, body = self._calls[load.target], bytes(load.bytes_each)
        begin = time.perf_counter() + WARMUP_SECONDS
        end = begin + load.seconds
        found: list[float] = []

        async def caller() -> None:
            now = time.perf_counter()
            while now < end:
                sent = now
                answer = await method(body, metadata=_METADATA, timeout=CALL_SECONDS)
                now = time.perf_counter()
                if len(answer) != load.bytes_each:
                    raise ValueError(f"{len(answer)} of {load.bytes_each} bytes came back")
                if begin <= now < end:
                    found.append(now - sent)

        await asyncio.gather(*(caller() for _ in range(load.callers)))
        return Seen(seconds=load.seconds, latency_seconds=tuple(found))


async def serve() -> None:
    """Loads from stdin, one after the other, until it ends."""
    client, loop = Client(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        seen = await client.run(Load(**json.loads(line)))
        print(json.dumps(asdict(seen)), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
