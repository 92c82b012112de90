"""A described model whose computation waits until the test lets it go: no sleeps, no luck.

A call with the parameter `gate` (path of a FIFO) holds the worker until somebody has opened the FIFO for writing and
closed it again. Output `rows` tells how many rows were computed together, `serial` which computation it was. An input of
-999 kills the worker. The server's parameter `fits` is how many rows its pretended memory holds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import litserve
import numpy as np

from atheria_server.models.contract import (
    Batch,
    Frame,
    InvalidRequestError,
    ModelMetadata,
    TensorSpec,
    ValidCall,
    WarmupCall,
)

ALLOWED = ("gate", "crash", "fail", "count", "tag")


class GateApi(litserve.LitAPI):
    """`x` FP32 [B, N] in; `y` = 2x, `rows` FP32 [B], `pid` INT64 [B] and `serial` INT64 [B] out."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self.parameters = dict(parameters)
        self.serial = 0

    def setup(self, device: str) -> None:
        if "die_in_setup" in self.parameters:
            os.kill(os.getpid(), signal.SIGKILL)
        if "fail_setup" in self.parameters:
            raise RuntimeError(str(self.parameters["fail_setup"]))
        if "setup_gate" in self.parameters:
            Path(str(self.parameters["setup_gate"])).read_bytes()

    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),),
            outputs=(
                TensorSpec(name="y", datatype="FP32", shape=(-1, -1)),
                TensorSpec(name="rows", datatype="FP32", shape=(-1,)),
                TensorSpec(name="pid", datatype="INT64", shape=(-1,)),
                TensorSpec(name="serial", datatype="INT64", shape=(-1,)),
            ),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        if unknown := sorted(set(parameters) - set(ALLOWED)):
            raise InvalidRequestError(f"unknown parameter {unknown[0]!r}; allowed: {', '.join(ALLOWED)}")
        if "x" not in inputs or inputs["x"].ndim != 2 or not len(inputs["x"]):
            raise InvalidRequestError("input 'x' must be FP32 [B, N] with B >= 1")
        return ValidCall(inputs=inputs, parameters=parameters, rows=len(inputs["x"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        if any(len(shape) != 1 for shape in shapes):
            raise InvalidRequestError(f"warm-up shape is {list(shapes[0])}; expected [N]")
        return [WarmupCall(inputs={"x": np.zeros((rows, *shape), np.float32)}) for shape in shapes or [(1,)]]

    def predict(self, batch: Batch) -> dict[str, Any]:
        _act(batch)
        if batch.rows > int(self.parameters.get("fits", batch.rows)):
            raise MemoryError
        self.serial += 1
        return {
            "y": 2 * batch.inputs["x"],
            "rows": np.full(batch.rows, batch.rows, np.float32),
            "pid": np.full(batch.rows, os.getpid(), np.int64),
            "serial": np.full(batch.rows, self.serial, np.int64),
        }

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        for step in range(1, int(batch.parameters.get("count", 3)) + 1):
            _act(batch)
            yield Frame(outputs={"y": step * batch.inputs["x"]}, parameters={"step": step})


def _act(batch: Batch) -> None:
    if gate := batch.parameters.get("gate"):
        Path(str(gate)).read_bytes()
    if batch.parameters.get("crash") or (batch.inputs["x"] == -999).any():
        os.kill(os.getpid(), signal.SIGKILL)
    if reason := batch.parameters.get("fail"):
        raise RuntimeError(reason)
