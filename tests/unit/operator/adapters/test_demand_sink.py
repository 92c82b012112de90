"""Reports reach the board, also after kopf has cancelled every task that is younger than it, as it does when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_operator.adapters.demand_sink import serve_demand
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.scaling.demand import Calls


class Board:
    """Keeps what it is given, and in which thread."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Mapping[ModelKey, Calls]]] = []
        self.threads: set[int] = set()

    def take(self, gateway: str, calls: Mapping[ModelKey, Calls]) -> None:
        self.taken.append((gateway, calls))
        self.threads.add(threading.get_ident())


def report(port: int, held: int) -> int:
    """One report on a connection of its own; how many models the sink took."""
    line = control_pb2.ModelDemand(namespace="demo", name="qca", held_requests=held)
    message = control_pb2.DemandReport(gateway="gateway-0", sequence=1, models=[line])
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = control_pb2_grpc.DemandSinkStub(channel)  # type: ignore[no-untyped-call]
        answers = list(stub.Report(iter([message]), timeout=10, wait_for_ready=True))
    return int(answers[0].models)


async def test_a_report_reaches_the_board_in_the_boards_own_thread() -> None:
    board: Any = Board()
    server, port = await serve_demand(board, 0)
    assert await asyncio.to_thread(report, port, 3) == 1
    await server.stop(grace=0.5)
    ((gateway, calls),) = board.taken
    assert gateway == "gateway-0"
    assert calls[ModelKey(namespace="demo", name="qca")].held == 3
    assert board.threads == {threading.get_ident()}


async def test_the_sink_hears_and_ends_after_all_younger_tasks_were_cancelled() -> None:
    board: Any = Board()
    server, port = await serve_demand(board, 0)
    before = asyncio.all_tasks()
    await asyncio.to_thread(report, port, 1)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    assert await asyncio.to_thread(report, port, 2) == 1
    await server.stop(grace=0.5)
    held = [calls[ModelKey(namespace="demo", name="qca")].held for _, calls in board.taken]
    assert held == [1, 2]


async def test_a_port_that_is_taken_is_an_error_that_names_it() -> None:
    board: Any = Board()
    first, port = await serve_demand(board, 0)
    with pytest.raises(OSError, match=f"cannot listen on port {port}"):
        await serve_demand(board, port)
    await first.stop(grace=0)
