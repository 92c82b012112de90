"""The gRPC service that gateways push their demand reports to (control.proto)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.rollout.analysis import CallFigures
from atheria_operator.domain.scaling.demand import Calls
from atheria_operator.runtime.demand_board import DemandBoard

_LOG = logging.getLogger(__name__)
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

    def __init__(self, board: DemandBoard) -> None:
        """`board` is where the autoscaler reads."""
        self._board = board

    async def Report(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """One stream of one gateway, until it or this process ends."""
        gateway = ""
        async for report in requests:
            if not gateway:
                _LOG.info("gateway=%s reports demand", report.gateway)
            gateway = report.gateway
            self._board.take(
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


async def serve_demand(board: DemandBoard, port: int) -> tuple[grpc.aio.Server, int]:
    """Start the service on all addresses; returns it and its port (`port` 0 = a free one). OSError if it is taken."""
    server = grpc.aio.server(options=_OPTIONS)
    control_pb2_grpc.add_DemandSinkServicer_to_server(DemandSink(board), server)  # type: ignore[no-untyped-call]
    try:
        bound = server.add_insecure_port(f"[::]:{port}")
    except RuntimeError as error:
        raise OSError(f"the demand sink cannot listen on port {port}: {error}") from error
    await server.start()
    return server, bound
