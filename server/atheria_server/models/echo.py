"""`builtin://echo`: gives its input back. For tests, load generators and as the smallest described model."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence

import litserve
import numpy as np

from atheria_server.models.contract import (
    Arrays,
    Batch,
    Frame,
    InvalidRequestError,
    ModelMetadata,
    Parameters,
    Scalar,
    TensorSpec,
    ValidCall,
    WarmupCall,
)

DELAY_MAX_SECONDS = 60.0
COUNT_MAX = 1024
_SPEC = TensorSpec(name="x", datatype="FP32", shape=(-1, -1))
_OUTPUT = TensorSpec(name="y", datatype="FP32", shape=(-1, -1))


class EchoApi(litserve.LitAPI):  # type: ignore[misc]
    """Input `x` FP32 [B, N], output `y` the same. Request parameters: `delay` seconds, `count` frames, `crash`."""

    def __init__(self, parameters: Mapping[str, Scalar]) -> None:
        """`allow_crash` = true lets a call with the parameter `crash` kill the worker."""
        super().__init__()
        if unknown := sorted(set(parameters) - {"allow_crash"}):
            raise ValueError(f"unknown parameter {unknown[0]!r} of model echo; allowed: allow_crash")
        self.allow_crash = parameters.get("allow_crash") in (True, "true")

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def metadata(self) -> ModelMetadata:
        """One input, one output."""
        return ModelMetadata(inputs=(_SPEC,), outputs=(_OUTPUT,))

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Accepts a finite FP32 matrix with at least one row. Raises InvalidRequestError."""
        if set(inputs) != {"x"}:
            raise InvalidRequestError(f"inputs are {sorted(inputs)}; expected exactly one, 'x'")
        x = inputs["x"]
        if x.dtype != np.float32:
            raise InvalidRequestError(f"input 'x' has datatype {x.dtype}; expected FP32")
        if x.ndim != 2 or x.shape[0] == 0:
            raise InvalidRequestError(f"input 'x' has shape {list(x.shape)}; expected [B, N] with B >= 1")
        if not np.isfinite(x).all():
            raise InvalidRequestError("input 'x' has values that are not finite")
        allowed = {"delay", "count"} | ({"crash"} if self.allow_crash else set())
        if unknown := sorted(set(parameters) - allowed):
            raise InvalidRequestError(
                f"unknown parameter {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}"
            )
        delay = _number(parameters, "delay", 0.0, DELAY_MAX_SECONDS)
        count = _number(parameters, "count", 1, COUNT_MAX)
        crash = bool(parameters.get("crash", False))
        del streaming
        return ValidCall(
            inputs={"x": x},
            parameters={"delay": delay, "count": int(count), "crash": crash},
            rows=len(x),
            batch_key=(delay, count, crash),
        )

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros of the given row lengths, 1 by default."""
        return [
            WarmupCall(inputs={"x": np.zeros((rows, *shape), np.float32)}) for shape in (shapes or [(1,)])
        ]

    def predict(self, batch: Batch) -> Arrays:
        """The input, after the delay."""
        if batch.parameters["crash"]:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(batch.parameters["delay"]))
        return {"y": batch.inputs["x"]}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """`count` times the input, each after the delay, with the parameter `step` from 1."""
        for step in range(1, int(batch.parameters["count"]) + 1):
            time.sleep(float(batch.parameters["delay"]))
            yield Frame(outputs={"y": batch.inputs["x"]}, parameters={"step": step})


def _number(parameters: Parameters, name: str, low: float, high: float) -> float:
    value = parameters.get(name, low)
    if isinstance(value, bool | str) or not low <= value <= high:
        raise InvalidRequestError(
            f"parameter {name} is {value!r}; expected a number from {low:g} to {high:g}"
        )
    return float(value)
