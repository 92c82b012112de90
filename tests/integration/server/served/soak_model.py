"""A described model for soaks: tells apart every call that it computes, works as long as told, and looks at its process.

The first value of each row is the call's tag. With the parameter `log` of the model, the worker appends each tag that it
computes to that file, so that a test knows what reached the model and how often.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
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

ALLOWED = ("gate", "work", "crash", "fail", "count", "probe")


class SoakApi(litserve.LitAPI):
    """`x` FP32 [B, N] in; `y` = 2x out."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__()
        self._log_path = str(parameters.get("log", ""))
        self._log = -1

    def setup(self, device: str) -> None:
        if self._log_path:
            self._log = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),),
            outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, -1)),),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        if "probe" in parameters:
            raise InvalidRequestError(json.dumps(_tasks()))
        if unknown := sorted(set(parameters) - set(ALLOWED)):
            raise InvalidRequestError(f"unknown parameter {unknown[0]!r}; allowed: {', '.join(ALLOWED)}")
        if "x" not in inputs or inputs["x"].ndim != 2 or not inputs["x"].size:
            raise InvalidRequestError("input 'x' must be FP32 [B, N] with B >= 1 and N >= 1")
        return ValidCall(inputs=inputs, parameters=parameters, rows=len(inputs["x"]))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": np.zeros((rows, 1), np.float32)})]

    def predict(self, batch: Batch) -> dict[str, Any]:
        self._note(batch)
        _act(batch)
        return {"y": 2 * batch.inputs["x"]}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        self._note(batch)
        for step in range(1, int(batch.parameters.get("count", 3)) + 1):
            _act(batch)
            yield Frame(outputs={"y": step * batch.inputs["x"]}, parameters={"step": step})

    def _note(self, batch: Batch) -> None:
        if self._log >= 0:
            tags = batch.inputs["x"][:, 0].tolist()
            os.write(self._log, "".join(f"{tag:.0f}\n" for tag in tags).encode())


def _act(batch: Batch) -> None:
    if gate := batch.parameters.get("gate"):
        Path(str(gate)).read_bytes()
    if seconds := batch.parameters.get("work"):
        time.sleep(float(seconds))
    if batch.parameters.get("crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    if reason := batch.parameters.get("fail"):
        raise RuntimeError(str(reason))


def _tasks() -> dict[str, int]:
    """Of the process that checks the calls, which is the front: its tasks by what they run."""
    running = Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]
    return dict(running)
