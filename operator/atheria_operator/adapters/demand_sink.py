"""The gRPC service that gateways push their demand reports to (control.proto)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc

from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_operator.adapters.grpc_thread import ALL_ADDRESSES, GrpcThread
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import Calls
from atheria_operator.runtime.demand_board import DemandBoard

_LOG = logging.getLogger(__name__)


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
                        trace_id=line.trace_id,
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


async def serve_demand(board: DemandBoard, port: int, address: str = ALL_ADDRESSES) -> tuple[GrpcThread, int]:
    """Start the service; returns it and its port (`port` 0 = a free one). OSError if it is taken.

    To be called in the loop in which `board` lives.
    """
    sink = DemandSink(board, asyncio.get_running_loop())

    def add(server: grpc.aio.Server) -> None:
        control_pb2_grpc.add_DemandSinkServicer_to_server(sink, server)  # type: ignore[no-untyped-call]

    thread = GrpcThread("demand sink", add)
    return thread, await thread.start(port, address)
