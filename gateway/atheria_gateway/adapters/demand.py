"""The stream of demand reports to the operator: reconnects for ever, never blocks, keeps only the newest report."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import grpc

from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_gateway.core.demand import Demand

_LOG = logging.getLogger(__name__)
_RECONNECT_S: Final = 1.0
_OPTIONS: Final = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


class DemandSender:
    """DemandPort that streams to `target` (host:port); with an empty target it drops all."""

    def __init__(self, *, target: str, gateway: str) -> None:
        """`gateway` is this pod's name."""
        self._target = target
        self._gateway = gateway
        self._sequence = 0
        self._is_quiet = False
        self._newest: tuple[Demand, ...] | None = None
        self._offered = asyncio.Event()

    def offer(self, demand: tuple[Demand, ...]) -> None:
        """Keep this report until the stream takes it; an older one that waits is dropped."""
        self._newest = demand
        self._offered.set()

    async def run(self) -> None:
        """Stream for ever."""
        if not self._target:
            _LOG.warning("no demand target is set: the autoscaler hears nothing from this gateway")
            await asyncio.Event().wait()
        async with grpc.aio.insecure_channel(self._target, options=_OPTIONS) as channel:
            stub: Any = control_pb2_grpc.DemandSinkStub(channel)  # type: ignore[no-untyped-call]
            while True:
                try:
                    await self._stream(stub.Report())
                except grpc.aio.AioRpcError as error:
                    if not self._is_quiet:
                        _LOG.warning(
                            "demand reports to %s: %s %s", self._target, error.code(), error.details()
                        )
                    self._is_quiet = True
                await asyncio.sleep(_RECONNECT_S)

    async def _stream(self, call: Any) -> None:
        """Write reports until the sink ends the stream; AioRpcError when it breaks. No report is taken after that."""
        ended = asyncio.create_task(self._read(call))
        try:
            while not ended.done():
                offered = asyncio.create_task(self._offered.wait())
                await asyncio.wait((offered, ended), return_when=asyncio.FIRST_COMPLETED)
                offered.cancel()
                lines = self._newest
                if ended.done() or lines is None:
                    continue
                self._newest = None
                self._offered.clear()
                try:
                    await call.write(self._report(lines))
                except asyncio.InvalidStateError:
                    # It ended since the look above; its reader knows how.
                    break
            await ended
        finally:
            ended.cancel()
            call.cancel()

    async def _read(self, call: Any) -> None:
        async for _ in call:
            if self._is_quiet:
                _LOG.info("demand reports reach %s again", self._target)
            self._is_quiet = False

    def _report(self, lines: tuple[Demand, ...]) -> control_pb2.DemandReport:
        self._sequence += 1
        return control_pb2.DemandReport(
            gateway=self._gateway,
            sequence=self._sequence,
            models=[
                control_pb2.ModelDemand(
                    namespace=line.model.namespace,
                    name=line.model.name,
                    held_requests=line.held,
                    in_flight_requests=line.in_flight,
                    arrivals_total=line.arrivals_total,
                    oldest_held_seconds=line.oldest_held_s,
                    trace_id=line.trace_id,
                    revisions=[
                        control_pb2.RevisionCalls(
                            revision=one.revision,
                            calls_total=one.calls,
                            errors_total=one.errors,
                            latency=[
                                control_pb2.LatencyBucket(up_to_seconds=bound, calls_total=count)
                                for bound, count in one.latency
                            ],
                        )
                        for one in line.revisions
                    ],
                )
                for line in lines
            ],
        )
