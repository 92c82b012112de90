"""The gRPC service that gateways push their demand reports to (control.proto)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import Calls
from atheria_operator.runtime.demand_board import DemandBoard

_LOG = logging.getLogger(__name__)
_STOP_SECONDS: Final = 5.0
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    # A gateway that vanished without a word must not leave its stream open for ever.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Gateways ping when they have nothing to say.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class DemandSink(control_pb2_grpc.DemandSinkServicer):
    """Takes every report onto the board and says so."""

    def __init__(self, board: DemandBoard, loop: asyncio.AbstractEventLoop) -> None:
        """`board` is where the autoscaler reads, in `loop`."""
        self._board = board
        self._loop = loop

    async def Report(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """One stream of one gateway, until it or this process ends."""
        gateway = ""
        async for report in requests:
            if not gateway:
                _LOG.info("gateway=%s reports demand", report.gateway)
            gateway = report.gateway
            self._loop.call_soon_threadsafe(
                self._board.take,
                gateway,
                {
                    ModelKey(namespace=line.namespace, name=line.name): Calls(
                        held=line.held_requests,
                        in_flight=line.in_flight_requests,
                        arrivals_total=line.arrivals_total,
                        revisions={one.revision: _figures(one) for one in line.revisions},
                    )
                    for line in report.models
                },
            )
            yield control_pb2.DemandAck(sequence=report.sequence, models=len(report.models))


def _figures(line: Any) -> CallFigures:
    return CallFigures(
        calls=line.calls_total,
        errors=line.errors_total,
        latency={bucket.up_to_seconds: bucket.calls_total for bucket in line.latency},
    )


class DemandServer:
    """The sink on a thread and a loop of its own.

    Kopf ends by cancelling all tasks of its loop that are younger than it, those in which grpc waits for calls among them: on one loop
    with it the sink would be deaf once kopf is started anew, and could not be stopped.
    """

    def __init__(self, board: DemandBoard) -> None:
        """To be made in the loop in which `board` lives."""
        self._sink = DemandSink(board, asyncio.get_running_loop())
        self._started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._grace_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="demand-sink", daemon=True)
        self._port = 0

    async def start(self, port: int) -> int:
        """Listen on all addresses; the port (`port` 0 = a free one). OSError if it is taken."""
        self._port = port
        self._thread.start()
        return await asyncio.wrap_future(self._started)

    async def stop(self, grace: float) -> None:
        """Take no more reports; open streams get `grace` seconds."""
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
        control_pb2_grpc.add_DemandSinkServicer_to_server(self._sink, server)  # type: ignore[no-untyped-call]
        try:
            bound = server.add_insecure_port(f"[::]:{self._port}")
        except RuntimeError as error:
            raise OSError(f"the demand sink cannot listen on port {self._port}: {error}") from error
        await server.start()
        self._loop = asyncio.get_running_loop()
        self._started.set_result(bound)
        await self._stop.wait()
        await server.stop(self._grace_seconds)


async def serve_demand(board: DemandBoard, port: int) -> tuple[DemandServer, int]:
    """Start the service on all addresses; returns it and its port (`port` 0 = a free one). OSError if it is taken."""
    server = DemandServer(board)
    return server, await server.start(port)
