"""Callers that do not wait for each other: every call is sent at its time, whatever became of the earlier ones."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, Self

import grpc
import numpy as np

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated import inference_pb2_grpc

PATIENCE_SECONDS: Final = 240.0
"""Below the time that a gateway holds a call for at most."""
_OPTIONS: Final = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(slots=True, kw_only=True)
class Sent:
    """One call as its caller saw it, in monotonic seconds."""

    id: int
    """From 1, as the ledgers of the pods have it."""
    sent: float
    answered: float | None = None
    failure: str = ""
    """Empty for the right answer."""


class Callers:
    """Calls of one model at one gateway; an async context manager."""

    def __init__(self, target: str, namespace: str, model: str) -> None:
        self._target = target
        self._model = model
        self._key = names.model_key(namespace, model)
        self._channel: grpc.aio.Channel | None = None
        self.calls: list[Sent] = []

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._target, options=_OPTIONS)
        await asyncio.wait_for(self._channel.channel_ready(), 60)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def send(self, work_seconds: float) -> Sent:
        """One call that keeps a pod busy for so long; its outcome is in what is returned."""
        assert self._channel is not None
        call = Sent(id=len(self.calls) + 1, sent=time.monotonic())
        self.calls.append(call)
        stub: Any = inference_pb2_grpc.GRPCInferenceServiceStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            answer = await stub.ModelInfer(
                request_of(self._model, call.id, work_seconds),
                metadata=((names.HEADER_MODEL, self._key),),
                timeout=PATIENCE_SECONDS,
            )
            value = float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])
            call.failure = "" if value == call.id else f"the answer is {value:g}"
        except grpc.aio.AioRpcError as error:
            call.failure = f"{error.code().name}: {error.details()}"
        call.answered = time.monotonic()
        return call


def request_of(model: str, call: int, work_seconds: float) -> pb.ModelInferRequest:
    """The request whose only number is the call's id."""
    request = pb.ModelInferRequest(model_name=model, id=str(call))
    request.inputs.add(name="x", datatype="FP32", shape=(1, 1))
    request.raw_input_contents.append(np.array([call], np.float32).tobytes())
    request.parameters["delay"].double_param = work_seconds
    return request
