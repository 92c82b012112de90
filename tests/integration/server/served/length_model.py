"""A described model of sequences: the server pads them to 4 or 8, and the answer says what was computed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import litserve
import numpy as np

from atheria_server.core.padding import LengthPadding
from atheria_server.models.contract import Batch, Frame, ModelMetadata, TensorSpec, ValidCall, WarmupCall

PADDING = LengthPadding(lengths=(4, 8), inputs={"x": 1}, outputs={"y": 1}, values={"x": 100.0})


class LengthApi(litserve.LitAPI):
    """`x` FP32 [B, N] in; `y` = x + 1, `shape` INT64 [B, 2] = rows and length of the batch."""

    def setup(self, device: str) -> None:
        pass

    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, -1)),),
            outputs=(
                TensorSpec(name="y", datatype="FP32", shape=(-1, -1)),
                TensorSpec(name="shape", datatype="INT64", shape=(-1, 2)),
            ),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        # A parameter `gate` is GateApi's: it holds the worker.
        return ValidCall(inputs=inputs, parameters=parameters, rows=len(inputs["x"]), padding=PADDING)

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": np.zeros((rows, 1), np.float32)})]

    def predict(self, batch: Batch) -> dict[str, Any]:
        from gate_model import _act

        _act(batch)
        x = batch.inputs["x"]
        if (x == -1).any():
            return {"y": x[:, 0], "shape": np.array([x.shape] * batch.rows)}  # not what PADDING says
        return {"y": x + 1, "shape": np.array([x.shape] * batch.rows)}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        yield Frame(outputs=self.predict(batch))
