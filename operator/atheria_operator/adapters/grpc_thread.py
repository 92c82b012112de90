"""A gRPC server on a thread and a loop of its own: for the gateways' reports, and for KEDA.

Kopf ends by cancelling all tasks of its loop that are younger than it, those in which grpc waits for calls among them: on one loop with
it a server would be deaf once kopf is started anew, and could not be stopped.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Final

import grpc

ALL_ADDRESSES: Final = "[::]"
_STOP_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 2.0
"""For the tasks of calls that were cut off; less than _STOP_SECONDS."""
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    # A client that vanished without a word must not leave its stream open for ever.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Gateways ping when they have nothing to say.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class GrpcThread:
    """One server, from `start` to `stop`."""

    def __init__(self, name: str, add: Callable[[grpc.aio.Server], None]) -> None:
        """`add` adds the services; `name` is that of the thread and in messages."""
        self._name = name
        self._add = add
        self._started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._grace_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._port = 0
        self._address = ALL_ADDRESSES

    async def start(self, port: int, address: str = ALL_ADDRESSES) -> int:
        """Listen; returns the port (`port` 0 = a free one). OSError if it is taken."""
        self._port, self._address = port, address
        self._thread.start()
        return await asyncio.wrap_future(self._started)

    async def stop(self, grace: float) -> None:
        """Take no more calls; open streams get `grace` seconds."""
        self._grace_seconds = grace
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join, grace + _STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        server = grpc.aio.server(options=_OPTIONS)
        self._add(server)
        try:
            bound = server.add_insecure_port(f"{self._address}:{self._port}")
        except RuntimeError as error:
            raise OSError(f"the {self._name} cannot listen on port {self._port}: {error}") from error
        await server.start()
        self._loop = asyncio.get_running_loop()
        self._started.set_result(bound)
        await self._stop.wait()
        await server.stop(self._grace_seconds)
        # The tasks of calls that it has just cut off end a little later; cut off by the end of the loop they are logged as errors.
        if rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest, timeout=_LAST_SECONDS)
