"""The model of the run: a small network whose weights are kept as bf16, so that there is a quality gate to pass.

The server imports it in every pod (`python://bench.dashboards.network:Network`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import litserve
import numpy as np
import torch
from torch import nn

from atheria_server.models.contract import (
    Batch,
    Frame,
    InvalidRequestError,
    ModelMetadata,
    TensorSpec,
    ValidCall,
    WarmupCall,
)

WIDTH: Final = 256


class Network(litserve.LitAPI):  # type: ignore[misc]
    """`x` FP32 [B, 256] in, `y` FP32 [B, 256] out."""

    def setup(self, device: str) -> None:
        """The same weights on each start."""
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH)).to(device)

    def metadata(self) -> ModelMetadata:
        """One input, one output."""
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, WIDTH)),),
            outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, WIDTH)),),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        """Takes rows of 256 numbers. Raises InvalidRequestError."""
        del streaming
        x = inputs.get("x")
        if x is None or x.ndim != 2 or x.shape[1] != WIDTH:
            raise InvalidRequestError(f"x must have shape [B, {WIDTH}]")
        return ValidCall(inputs={"x": x}, parameters=dict(parameters), rows=len(x))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros."""
        del shapes
        return [WarmupCall(inputs={"x": np.zeros((rows, WIDTH), np.float32)})]

    def predict(self, batch: Batch) -> dict[str, Any]:
        """One pass."""
        with torch.inference_mode():
            return {"y": self.network(torch.from_numpy(np.array(batch.inputs["x"]))).numpy()}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """One frame."""
        yield Frame(outputs=self.predict(batch))
