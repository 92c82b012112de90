"""`QcaApi`: the qca model behind LitServe's contract, the object that `builtin://qca` names.

Built in the front process, which must not import torch: only `setup` and what runs after it in the worker does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import litserve
import numpy as np

from atheria_server.models.contract import (
    Arrays,
    Batch,
    Frame,
    InvalidRequestError,
    ModelMetadata,
    Parameters,
    TensorSpec,
    ValidCall,
    WarmupCall,
)
from atheria_server.models.qca import signature as sig
from atheria_server.models.qca.settings import Scalar, parse_settings
from atheria_server.models.qca.validate import parse_request

if TYPE_CHECKING:
    from atheria_server.models.qca.laws import Law


class QcaApi(litserve.LitAPI):  # type: ignore[misc]
    """Serves one law; the parameters are those of `settings`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, digest: str = "", **options: Any) -> None:
        """Raises QcaSettingsError; the weights are read in `setup`. `options` go to LitAPI."""
        super().__init__(**options)
        self.settings = parse_settings(parameters)
        self.digest = digest
        self.law: Law | None = None

    def metadata(self) -> ModelMetadata:
        """Inputs and outputs with -1 for batch, height and width."""
        state = (-1, 2 * self.settings.channels, -1, -1)
        return ModelMetadata(
            inputs=(
                TensorSpec(name=sig.INPUT_STATE, datatype="FP32", shape=state, optional=True),
                TensorSpec(name=sig.INPUT_SEED, datatype="INT64", shape=(-1,), optional=True),
            ),
            outputs=(
                TensorSpec(name=sig.OUTPUT_STATE, datatype="FP32", shape=state),
                TensorSpec(name=sig.OUTPUT_DENSITY, datatype="FP32", shape=(-1, -1, -1)),
                TensorSpec(name=sig.OUTPUT_PHASE, datatype="FP32", shape=(-1, -1, -1)),
                TensorSpec(name=sig.OUTPUT_METRICS, datatype="FP32", shape=(-1, len(sig.METRICS))),
            ),
        )

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Check one call; seeds and noise become one value a row. Raises InvalidRequestError."""
        request = parse_request(inputs, parameters, self.settings.channels)
        arrays: dict[str, Any] = {
            sig.INPUT_SEED: np.array(request.seeds, np.int64),
            sig.PARAMETER_NOISE: np.full(request.rows, request.noise),
        }
        if request.state is not None:
            arrays[sig.INPUT_STATE] = request.state
        return ValidCall(
            inputs=arrays,
            parameters={
                sig.PARAMETER_STEPS: request.steps,
                sig.PARAMETER_EVERY: request.every,
                sig.PARAMETER_HEIGHT: request.height,
                sig.PARAMETER_WIDTH: request.width,
                sig.PARAMETER_INITIAL: request.initial,
            },
            rows=request.rows,
            batch_key=("qca", streaming, request.initial, *request.key),
        )

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """One short call a shape (2d, H, W) of one row; default (2d, 64, 64). Raises InvalidRequestError."""
        calls = []
        for shape in shapes or [(2 * self.settings.channels, sig.SIDE_DEFAULT, sig.SIDE_DEFAULT)]:
            if len(shape) != 3 or shape[0] != 2 * self.settings.channels:
                raise InvalidRequestError(
                    f"warm-up shape is {list(shape)}; expected [{2 * self.settings.channels}, H, W]"
                )
            size = {sig.PARAMETER_HEIGHT: shape[1], sig.PARAMETER_WIDTH: shape[2], sig.PARAMETER_STEPS: 1}
            calls.append(WarmupCall(inputs={sig.INPUT_SEED: np.zeros(rows, np.int64)}, parameters=size))
        return calls

    def setup(self, device: str) -> None:
        """Worker: load the law onto the device. Raises WeightsError."""
        import torch

        from atheria_server.models.qca.weights import load_law

        torch.set_num_threads(self.settings.threads)
        self.torch_device = device
        self.law = load_law(self.settings, self.digest).to(device)

    def predict(self, batch: Batch) -> Arrays:
        """Worker: all outputs of a checked batch after its steps."""
        frame = next(self._frames(batch, int(batch.parameters[sig.PARAMETER_STEPS])))
        return frame.outputs

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """Worker: one frame every `every` steps and after the last step."""
        return self._frames(batch, int(batch.parameters[sig.PARAMETER_EVERY]))

    def _frames(self, batch: Batch, every: int) -> Iterator[Frame]:
        from atheria_server.models.qca import compute

        if self.law is None:
            raise RuntimeError("setup was not called; call it before predict or stream")
        return compute.frames(self.law, self.torch_device, batch, every)
