"""Callers through the gateway: a steady number of calls at once, in waves, and now and then one that is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated import inference_pb2_grpc
from bench.dashboards.models import Served, values_for

DEADLINE_SECONDS: Final = 200.0
"""A first call waits for the model's start."""
_PAUSE_SECONDS: Final = 0.02
_WRONG_EVERY: Final = 40
_DATATYPES: Final = {"float32": "FP32", "uint8": "UINT8"}


@dataclass(slots=True, kw_only=True)
class Callers:
    """Of one model."""

    target: str
    """host:port of the gateway."""
    namespace: str
    model: Served
    answered: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    """What nobody asked for."""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first answer."""

    async def run(self, callers: int, stop: asyncio.Event) -> None:
        """That many callers, each with one call after the other, until `stop`."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            stub: Any = inference_pb2_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            async with asyncio.TaskGroup() as tasks:
                for number in range(callers):
                    tasks.create_task(self._call(stub, number, stop), name=f"caller {number}")

    async def _call(self, stub: Any, number: int, stop: asyncio.Event) -> None:
        metadata = ((names.HEADER_MODEL, names.model_key(self.namespace, self.model.name)),)
        good, wrong = self._request(values_for(self.model)), self._request(np.ones((1, 3), np.float32))
        turn = number
        while not stop.is_set():
            turn += 1
            is_wrong = turn % _WRONG_EVERY == 0
            try:
                await stub.ModelInfer(
                    wrong if is_wrong else good,
                    metadata=metadata,
                    timeout=DEADLINE_SECONDS,
                    wait_for_ready=True,
                )
                self.answered += 1
                self.first.set()
            except grpc.aio.AioRpcError as error:
                if is_wrong and error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                    self.refused += 1
                else:
                    self.failures.append(f"{error.code().name}: {error.details()}")
            await asyncio.sleep(_PAUSE_SECONDS)

    def _request(self, values: Any) -> Any:
        request = pb.ModelInferRequest(model_name=self.model.name)
        datatype = _DATATYPES[values.dtype.name]
        request.inputs.add(name=self.model.input_name, datatype=datatype, shape=values.shape)
        request.raw_input_contents.append(values.tobytes())
        return request
