"""The benchmark's model as Atheria serves it: described (tensors declared), and as an ordinary LitAPI."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from bench.serving import model

_SHAPE = (-1, *model.ROW_SHAPE)


class DescribedApi(litserve.LitAPI):  # type: ignore[misc]
    """`--set device_seconds=0.02` sleeps that long for each batch: a device that leaves the processor alone."""

    def __init__(self, parameters: Mapping[str, Scalar]) -> None:
        super().__init__()
        self._device_seconds = float(parameters.get("device_seconds", 0.0))

    def setup(self, device: str) -> None:
        """Make the matrix."""
        del device
        self._model = model.Model()

    def metadata(self) -> ModelMetadata:
        """One input, one output."""
        return ModelMetadata(
            inputs=(TensorSpec(name=model.INPUT, datatype="FP32", shape=_SHAPE),),
            outputs=(TensorSpec(name=model.OUTPUT, datatype="FP32", shape=_SHAPE),),
        )

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Name, datatype and shape. Raises InvalidRequestError."""
        del parameters, streaming
        x = inputs.get(model.INPUT)
        if x is None or x.dtype != np.float32 or x.ndim != 4 or x.shape[1:] != model.ROW_SHAPE:
            raise InvalidRequestError(f"expected input {model.INPUT!r} FP32 {list(_SHAPE)}")
        return ValidCall(inputs={model.INPUT: x}, rows=len(x))

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros."""
        del shapes
        return [WarmupCall(inputs={model.INPUT: np.zeros((rows, *model.ROW_SHAPE), np.float32)})]

    def predict(self, batch: Batch) -> Arrays:
        """The product, and the sleep."""
        if self._device_seconds:
            time.sleep(self._device_seconds)
        return {model.OUTPUT: self._model(batch.inputs[model.INPUT])}

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """One frame."""
        yield Frame(outputs=self.predict(batch))


class PlainApi(litserve.LitAPI):  # type: ignore[misc]
    """What a LitServe user would write: LitServe's own hooks, batched by LitServe's default `batch`."""

    def __init__(self) -> None:
        super().__init__(max_batch_size=model.MAX_BATCH)

    def setup(self, device: str) -> None:
        """Make the matrix."""
        del device
        self._model = model.Model()

    def decode_request(self, request: Any) -> Any:
        """FP32 [4, 64, 64]."""
        return np.asarray(request[model.INPUT], np.float32)[0]

    def predict(self, x: Any) -> Any:
        """FP32 [n, 4, 64, 64] -> the same."""
        return self._model(x)

    def encode_response(self, output: Any) -> Any:
        """FP32 [1, 4, 64, 64] by name."""
        return {model.OUTPUT: output[None]}
