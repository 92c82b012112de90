"""KEDA's externalscaler protocol: where KEDA reads what class keda is scaled by.

StreamIsActive tells at once that a model is called, so that KEDA need not wait for its next look. What is not known is answered with
UNAVAILABLE: KEDA then leaves the number of pods as it is. StreamMetricSpec is left unimplemented: a target changes with the ScaledObject
only, and KEDA then asks anew.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import grpc

from atheria_contract.generated import externalscaler_pb2 as messages
from atheria_contract.generated import externalscaler_pb2_grpc as stubs
from atheria_operator.adapters.grpc_thread import GrpcThread
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.interop.offer import METRICS, NoReading
from atheria_operator.domain.interop.scaled_object import META_METRIC, META_MODEL, META_TARGET
from atheria_operator.runtime.offers import OfferReader

_ANSWER_SECONDS: Final = 5.0
"""The operator's loop answers in milliseconds."""
_LOOK_SECONDS: Final = 1.0
"""Between two looks whether an active model still is."""
_SILENT_SECONDS: Final = 15.0
"""The same for one that is not; its calls wake the stream."""
T = TypeVar("T")


class ExternalScaler(stubs.ExternalScalerServicer):
    """Answers KEDA from the offers, which live in another loop."""

    def __init__(self, reader: OfferReader, loop: asyncio.AbstractEventLoop) -> None:
        """`loop` is the operator's, in which `reader` may be asked."""
        self._reader = reader
        self._loop = loop

    async def IsActive(self, request: Any, context: Any) -> Any:
        """Whether the model is called now or was until lately."""
        key = await _key(request, context)
        try:
            return messages.IsActiveResponse(result=await self._ask(lambda: self._reader.is_active(key)))
        except NoReading as unknown:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"model {key}: {unknown}")

    async def StreamIsActive(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The same at once and at each change, until KEDA goes away; nothing while nothing is known."""
        key = await _key(request, context)
        changed, here = asyncio.Event(), asyncio.get_running_loop()
        listening = contextlib.ExitStack()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # This loop has ended; the stream with it.
                here.call_soon_threadsafe(changed.set)

        told: bool | None = None
        try:
            try:
                await self._ask(lambda: listening.enter_context(self._reader.offers.listening(key, wake)))
            except NoReading as unknown:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"model {key}: {unknown}")
            while True:
                changed.clear()
                with contextlib.suppress(NoReading):
                    is_active = await self._ask(lambda: self._reader.is_active(key))
                    if is_active is not told:
                        told = is_active
                        yield messages.IsActiveResponse(result=is_active)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), _LOOK_SECONDS if told else _SILENT_SECONDS)
        finally:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(listening.close)

    async def GetMetricSpec(self, request: Any, context: Any) -> Any:
        """Name and target, from the ScaledObject's own words."""
        metadata = request.scalerMetadata
        metric = metadata.get(META_METRIC) or METRICS[0]
        if metric not in METRICS:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"{META_METRIC} is {metric!r}: use one of {', '.join(METRICS)}",
            )
        try:
            target = float(metadata.get(META_TARGET, ""))
        except ValueError:
            target = math.nan
        if not 0 < target < math.inf:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"{META_TARGET} is {metadata.get(META_TARGET)!r}: use a number above 0, what one pod takes",
            )
        spec = messages.MetricSpec(metricName=metric, targetSize=math.ceil(target), targetSizeFloat=target)
        return messages.GetMetricSpecResponse(metricSpecs=[spec])

    async def GetMetrics(self, request: Any, context: Any) -> Any:
        """The value now."""
        key = await _key(request.scaledObjectRef, context)
        try:
            metric, value = await self._ask(lambda: self._reader.value(key))
        except NoReading as unknown:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"model {key}: {unknown}")
        if request.metricName != metric:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"model {key} is scaled by {metric}, not by {request.metricName}"
            )
        found = messages.MetricValue(metricName=metric, metricValue=math.ceil(value), metricValueFloat=value)
        return messages.GetMetricsResponse(metricValues=[found])

    async def _ask(self, question: Callable[[], T]) -> T:
        """The answer of the operator's loop. Raises what `question` raises, and NoReading where the loop does not answer."""
        answer: concurrent.futures.Future[T] = concurrent.futures.Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except Exception as error:  # noqa: BLE001 - it is raised where the question was asked
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(ask)
            return await asyncio.wait_for(asyncio.wrap_future(answer), _ANSWER_SECONDS)
        except (TimeoutError, RuntimeError) as error:
            raise NoReading("the operator does not answer") from error


async def serve_external_scaler(reader: OfferReader, port: int) -> tuple[GrpcThread, int]:
    """Start the service on all addresses; returns it and its port (`port` 0 = a free one). OSError if it is taken."""
    service = ExternalScaler(reader, asyncio.get_running_loop())

    def add(server: grpc.aio.Server) -> None:
        stubs.add_ExternalScalerServicer_to_server(service, server)  # type: ignore[no-untyped-call]

    thread = GrpcThread("external-scaler", add)
    return thread, await thread.start(port)


async def _key(reference: Any, context: Any) -> ModelKey:
    name = reference.scalerMetadata.get(META_MODEL) or reference.name
    if not (name and reference.namespace):
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"name a model: {META_MODEL} and the namespace")
    return ModelKey(namespace=reference.namespace, name=name)
