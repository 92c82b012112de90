"""Steady calls on every way into the gateway, sent at fixed times whatever became of the earlier ones. No caller tries again.

For the benchmark of upgrades and for the end-to-end test of the same.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import grpc
import numpy as np

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated import inference_pb2_grpc

DEADLINE_SECONDS: Final = 60.0
"""Of one call; it is lost when it has no right answer by then."""
WAYS: Final = (
    "gRPC, gateway, lasting connection",
    "gRPC, model's Service, lasting connection",
    "gRPC, model's Service, connection per call",
    "REST, gateway, lasting connections",
    "REST, model's Service, connection per call",
)
_START_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.05
_OPTIONS: Final = [
    # A caller that sends again by itself would hide what is lost.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as its caller saw it."""

    way: str
    sent_at: float
    """Unix time in seconds."""
    seconds: float
    failure: str
    """Empty for the right answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Where the ways lead: `host:port` without a scheme."""

    model: str
    namespace: str
    gateway_grpc: str
    gateway_rest: str
    service: str
    """Address of the model's Service; its ports are those of `atheria_contract.names`."""


@dataclass(slots=True)
class SteadyCalls:
    """`with SteadyCalls(targets, per_second=10) as calls:` sends `per_second` calls on each of `WAYS` meanwhile.

    The body begins with the first answer on each way. RuntimeError at the end when the sender itself failed.
    """

    targets: Targets
    per_second: float
    done: list[Call] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="steady calls", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while {call.way for call in self.done if not call.failure} != set(WAYS):
            if self._error is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise TimeoutError(f"not every way answered within {_START_SECONDS:g} s: {self.lost[:3]}")
            time.sleep(_LOOK_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=DEADLINE_SECONDS + 30)
            if self._thread.is_alive():
                raise RuntimeError("the callers do not end")
        if self._error is not None and kind is None:
            raise RuntimeError("the callers broke") from self._error

    @property
    def lost(self) -> list[Call]:
        """Calls without a right answer."""
        return [call for call in list(self.done) if call.failure]

    def wait_for_more(self, count: int) -> None:
        """Until so many more calls have ended. TimeoutError when they do not."""
        goal, deadline = len(self.done) + count, time.monotonic() + _START_SECONDS
        while len(self.done) < goal:
            if self._error is not None or time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(self.done)} calls have ended, {goal} were waited for: {self._error}"
                )
            time.sleep(_LOOK_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._error = error

    async def _send_all(self) -> None:
        to = self.targets
        body = _request(to.model)
        service_grpc = f"{to.service}:{names.PORT_GRPC}"
        rest = f"http://{{}}/v2/models/{to.model}/infer"
        by_header = ((names.HEADER_MODEL, names.model_key(to.namespace, to.model)),)
        by_name = {"host": f"{to.model}.{to.namespace}"}
        authority = ("grpc.default_authority", f"{to.model}.{to.namespace}:{names.PORT_GRPC}")
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
        async with (
            grpc.aio.insecure_channel(to.gateway_grpc, options=_OPTIONS) as gateway,
            grpc.aio.insecure_channel(service_grpc, options=[*_OPTIONS, authority]) as service,
            aiohttp.ClientSession(connector=connector, timeout=timeout) as lasting,
        ):

            async def own_channel() -> None:
                async with grpc.aio.insecure_channel(service_grpc, options=[*_OPTIONS, authority]) as channel:
                    await _infer(channel, body, ())

            async def own_connection() -> None:
                url = rest.format(f"{to.service}:{names.PORT_HTTP}")
                async with aiohttp.ClientSession(timeout=timeout) as session:
                    await _post(session, url, by_name)

            ways: tuple[Callable[[], Awaitable[None]], ...] = (
                lambda: _infer(gateway, body, by_header),
                lambda: _infer(service, body, ()),
                own_channel,
                lambda: _post(lasting, rest.format(to.gateway_rest), dict(by_header)),
                own_connection,
            )
            async with asyncio.TaskGroup() as tasks:
                for number, (way, call) in enumerate(zip(WAYS, ways, strict=True)):
                    tasks.create_task(self._pace(tasks, way, call, number / len(WAYS)), name=way)

    async def _pace(
        self, tasks: asyncio.TaskGroup, way: str, call: Callable[[], Awaitable[None]], offset: float
    ) -> None:
        """Send until told to stop; the ways take turns by `offset` of a period."""
        next_at = time.monotonic() + offset / self.per_second
        while not self._stop.is_set():
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            next_at += 1 / self.per_second
            tasks.create_task(self._one(way, call))

    async def _one(self, way: str, call: Callable[[], Awaitable[None]]) -> None:
        sent_at, began, failure = time.time(), time.monotonic(), ""
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            failure = f"{error.code().name}: {error.details()}"
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        self.done.append(Call(way=way, sent_at=sent_at, seconds=seconds, failure=failure))


def _request(model: str) -> pb.ModelInferRequest:
    x = np.array([[7.0]], np.float32)
    request = pb.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    request.raw_input_contents.append(x.tobytes())
    return request


async def _infer(
    channel: grpc.aio.Channel, body: pb.ModelInferRequest, metadata: tuple[tuple[str, str], ...]
) -> None:
    """Raises AioRpcError, or ValueError for a wrong answer. A connection that cannot be made fails the call at once."""
    stub: Any = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
    answer = await stub.ModelInfer(body, metadata=metadata, timeout=DEADLINE_SECONDS)
    if answer.raw_output_contents[0] != body.raw_input_contents[0]:
        raise ValueError("the answer is another one")


async def _post(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    """Raises ClientError, or ValueError for a wrong answer."""
    body = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [7.0]}]}
    async with session.post(url, json=body, headers=headers) as answer:
        said = await answer.text()
        if answer.status != 200 or json.loads(said)["outputs"][0]["data"] != [7.0]:
            raise ValueError(f"{answer.status}: {said[:200]}")
