"""Small networks behind LitAPIs, and the warm-up hooks and metrics of a user, good and bad."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

WIDTH = 64


def network() -> nn.Sequential:
    """Three Linears with the same weights on each start."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 8)
    ).eval()


class DescribedNetwork(litserve.LitAPI):
    """`x` FP32 [B, 64] in, `y` FP32 [B, 8] out."""

    def setup(self, device: str) -> None:
        self.network = network().to(device)

    def metadata(self) -> ModelMetadata:
        return ModelMetadata(
            inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, WIDTH)),),
            outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 8)),),
        )

    def validate(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any], *, streaming: bool
    ) -> ValidCall:
        x = inputs.get("x")
        if x is None or x.ndim != 2 or x.shape[1] != WIDTH:
            raise InvalidRequestError(f"x must have shape [B, {WIDTH}]")
        return ValidCall(inputs={"x": x}, parameters=dict(parameters), rows=len(x))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        return [WarmupCall(inputs={"x": np.zeros((rows, WIDTH), np.float32)})]

    def predict(self, batch: Batch) -> dict[str, Any]:
        with torch.inference_mode():
            return {"y": self.network(torch.from_numpy(np.array(batch.inputs["x"]))).numpy()}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        yield Frame(outputs=self.predict(batch))


class PlainNetwork(litserve.LitAPI):
    """The same without declared tensors."""

    def setup(self, device: str) -> None:
        self.network = network().to(device)

    def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        with torch.inference_mode():
            return {"y": self.network(torch.from_numpy(request["x"])).numpy()}


def mark(api: Any) -> None:
    """Leaves a trace of itself."""
    Path("hook-ran").write_text(type(api).__name__, encoding="utf-8")


def fail(api: Any) -> None:
    raise OSError("the licence server is gone")


def hang(api: Any) -> None:
    while True:
        time.sleep(3600)


async def later(api: Any) -> None:
    """Nobody awaits it."""


def too_far(baseline: Sequence[Mapping[str, Any]], variant: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """A user's metric that is never content."""
    return {"distance": 7.0}
