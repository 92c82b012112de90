"""The stream of demand reports ends with the operator, at whatever moment that is, and the activator goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from atheria_gateway.adapters.demand import DemandSender
from atheria_gateway.core.demand import Demand
from atheria_gateway.core.model import ModelKey

LINE = Demand(
    model=ModelKey(namespace="demo", name="qca"), held=0, in_flight=0, arrivals_total=0, oldest_held_s=0.0
)


class EndedStream:
    """A call that has ended, though its reader has not been told so yet."""

    def __init__(self, end: BaseException | None) -> None:
        self._end = end
        self._written = asyncio.Event()

    async def write(self, _: object) -> None:
        self._written.set()
        raise asyncio.InvalidStateError("RPC already finished.")

    async def __aiter__(self) -> AsyncIterator[object]:
        await self._written.wait()
        if self._end is not None:
            raise self._end
        empty: tuple[object, ...] = ()
        for one in empty:
            yield one

    def cancel(self) -> None:
        return None


def _sender() -> DemandSender:
    sender = DemandSender(target="operator:8002", gateway="gateway-0")
    sender.offer((LINE,))
    return sender


async def test_a_report_to_a_stream_that_has_just_broken_raises_what_broke_it() -> None:
    broken = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
    with pytest.raises(grpc.aio.AioRpcError):
        await _sender()._stream(EndedStream(broken))


async def test_a_report_to_a_stream_that_has_just_ended_is_no_error() -> None:
    await _sender()._stream(EndedStream(None))
