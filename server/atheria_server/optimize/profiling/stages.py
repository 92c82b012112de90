"""Times the stages that a call goes through in the server, one after the other in this process.

decode (the request's bytes), validate (the model's own check), copy (tensors into memory shared with the worker and
back), device (the model), encode (the answer's bytes). Called by `profile`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from atheria_contract.generated import inference_pb2 as pb
from atheria_server.core.bottleneck import DEVICE_STAGE
from atheria_server.core.infer import InferAnswer
from atheria_server.core.tensors import datatype_of, to_array, to_bytes
from atheria_server.core.timings import Timings
from atheria_server.engine.hooks import compute_described
from atheria_server.models.contract import Batch, WarmupCall
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.transport.grpc_codec import parse_request, read_request, write_parameters
from atheria_server.transport.grpc_wire import AnswerWriter

STAGES: Final = ("decode", "validate", "copy", DEVICE_STAGE, "encode")


def measure_stages(
    loaded: LoadedModel, call: WarmupCall, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timings]:
    """Seconds of each stage, one value a round. Raises InvalidRequestError and FailedError."""
    data = request_bytes(call)
    writer = AnswerWriter("1")
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for index in range(rounds + 1):
        laps = _Laps(clock)
        message = parse_request(data)
        request = read_request(message, None)
        laps.end("decode")
        valid = loaded.api.validate(request.inputs, request.parameters, streaming=False)
        laps.end("validate")
        inputs = {name: np.array(value) for name, value in valid.inputs.items()}
        batch = Batch(inputs=inputs, parameters=valid.parameters, rows=valid.rows)
        laps.end("copy")
        outputs = compute_described(loaded.api, batch)
        laps.end(DEVICE_STAGE)
        outputs = {name: np.array(value) for name, value in outputs.items()}
        laps.end("copy")
        writer.infer(message, InferAnswer(outputs=outputs))
        laps.end("encode")
        if index > 0:  # the first one makes what later ones use again
            for stage in STAGES:
                seconds[stage].append(laps.seconds[stage])
    return {stage: Timings(seconds=tuple(values)) for stage, values in seconds.items()}


class _Laps:
    """A stopwatch that adds up by name."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = clock()
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        now = self._clock()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._began
        self._began = now


def request_bytes(call: WarmupCall, model: str = "m") -> bytes:
    """The call as a ModelInferRequest with raw contents."""
    message: Any = pb.ModelInferRequest(model_name=model, id="profile")
    for name, value in call.inputs.items():
        array = to_array(value)
        message.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        message.raw_input_contents.append(to_bytes(array))
    write_parameters(message.parameters, call.parameters)
    written: bytes = message.SerializeToString()
    return written
