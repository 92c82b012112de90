"""KEDA's externalscaler over a real connection: what each call answers, and that a push comes at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import pytest

from atheria_contract.generated import externalscaler_pb2 as messages
from atheria_contract.generated import externalscaler_pb2_grpc as stubs
from atheria_operator.adapters.external_scaler import serve_external_scaler
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.interop.offer import METRIC_CALLS, METRIC_CALLS_PER_SECOND, Offer
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.runtime.offers import OfferReader, Offers

KEY = ModelKey(namespace="demo", name="qca")
METADATA = {"scalerAddress": "x:1", "model": "qca", "metric": METRIC_CALLS, "target": "3.4"}
REFERENCE = messages.ScaledObjectRef(name="anything", namespace="demo", scalerMetadata=METADATA)


class CountedOffers(Offers):
    """With the number of those who listen."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    @contextmanager
    def listening(self, key: ModelKey, wake: Callable[[], None]) -> Iterator[None]:
        with super().listening(key, wake):
            self.listeners += 1
            try:
                yield
            finally:
                self.listeners -= 1


class World:
    """Demand and a clock as a test says, and the offers of one model."""

    def __init__(self) -> None:
        self.offers = CountedOffers()
        self.said: Demand | None = None
        self.now_seconds = 500.0
        ports: Any = self
        self.reader = OfferReader(self.offers, ports, ports)

    def demand(self, _: ModelKey) -> Demand | None:
        return self.said

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def see(self, calls: int, value: float = 0) -> None:
        """What the scaling loop does at each look."""
        self.said = Demand(held=calls, in_flight=0, arrivals_total=0, is_complete=True)
        last = self.now_seconds if calls else None
        self.offers.put(KEY, Offer(metric=METRIC_CALLS, value=value, last_call_seconds=last))


@asynccontextmanager
async def client(world: World) -> AsyncIterator[Any]:
    server, port = await serve_external_scaler(world.reader, 0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield stubs.ExternalScalerStub(channel)  # type: ignore[no-untyped-call]
    finally:
        await server.stop(grace=0)


async def test_the_target_and_the_value_carry_the_fractions() -> None:
    world = World()
    world.see(2, value=6.25)
    async with client(world) as stub:
        (spec,) = (await stub.GetMetricSpec(REFERENCE, timeout=30)).metricSpecs
        assert (spec.metricName, spec.targetSizeFloat, spec.targetSize) == (METRIC_CALLS, 3.4, 4)
        asked = messages.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName=METRIC_CALLS)
        (found,) = (await stub.GetMetrics(asked, timeout=30)).metricValues
    assert (found.metricName, found.metricValueFloat, found.metricValue) == (METRIC_CALLS, 6.25, 7)


async def test_the_target_is_known_also_where_the_calls_are_not() -> None:
    async with client(World()) as stub:
        (spec,) = (await stub.GetMetricSpec(REFERENCE, timeout=30)).metricSpecs
    assert math.isclose(spec.targetSizeFloat, 3.4)


@pytest.mark.parametrize("call", ["IsActive", "GetMetrics"])
async def test_silence_is_unavailable_and_says_why(call: str) -> None:
    asked: Any = REFERENCE
    if call == "GetMetrics":
        asked = messages.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName=METRIC_CALLS)
    async with client(World()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await getattr(stub, call)(asked, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == "model demo/qca: no gateway has reported for 3 s"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({**METADATA, "metric": "cpu"}, "metric is 'cpu': use one of"),
        ({**METADATA, "target": "0"}, "target is '0': use a number above 0"),
        ({**METADATA, "target": "nan"}, "use a number above 0"),
        ({"model": "qca"}, "target is None"),
    ],
)
async def test_words_of_a_scaled_object_that_cannot_be_followed_are_refused(
    metadata: dict[str, str], words: str
) -> None:
    reference = messages.ScaledObjectRef(name="qca", namespace="demo", scalerMetadata=metadata)
    async with client(World()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetMetricSpec(reference, timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(refused.value.details())


async def test_a_metric_that_the_model_is_not_scaled_by_is_not_found() -> None:
    world = World()
    world.see(1)
    asked = messages.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName=METRIC_CALLS_PER_SECOND)
    async with client(world) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetMetrics(asked, timeout=30)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_stream_says_what_is_at_once_and_then_each_change_once() -> None:
    world = World()
    world.see(0)
    async with client(world) as stub:
        stream = stub.StreamIsActive(REFERENCE)
        assert (await asyncio.wait_for(stream.read(), 60)).result is False
        world.see(0)
        world.see(2)
        assert (await asyncio.wait_for(stream.read(), 60)).result is True
        world.see(3)
        world.now_seconds += 3600
        world.see(0)
        assert (await asyncio.wait_for(stream.read(), 60)).result is False
        stream.cancel()


async def test_a_stream_says_nothing_while_nothing_is_known() -> None:
    world = World()
    async with client(world) as stub:
        stream = stub.StreamIsActive(REFERENCE)
        reading = asyncio.ensure_future(stream.read())
        # Another call has been answered meanwhile, so the stream has been looked at too.
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.IsActive(REFERENCE, timeout=30)
        assert not reading.done()
        world.see(1)
        assert (await asyncio.wait_for(reading, 60)).result is True
        stream.cancel()


async def test_a_stream_that_ended_listens_no_more() -> None:
    world = World()
    world.see(1)
    async with client(world) as stub:
        stream = stub.StreamIsActive(REFERENCE)
        await asyncio.wait_for(stream.read(), 60)
        assert world.offers.listeners == 1
        stream.cancel()
        for _ in range(6000):
            if not world.offers.listeners:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the stream still listens after a minute")


async def test_targets_are_not_pushed_and_keda_is_told_so() -> None:
    async with client(World()) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.StreamMetricSpec(REFERENCE).read()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
