"""`QcaApi`: the qca model behind LitServe's contract, the object that `builtin://qca` names.

Built in the front process, which must not import torch: only `setup` and what runs after it in the worker does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import litserve
import numpy as np

from atheria_server.core.quality import Measurement
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
from atheria_server.models.qca import quality
from atheria_server.models.qca import signature as sig
from atheria_server.models.qca.settings import Scalar, parse_settings
from atheria_server.models.qca.validate import parse_request

if TYPE_CHECKING:
    from torch import nn

    from atheria_server.models.optimizable import Compile
    from atheria_server.models.qca.decoding import VolumeDecoder
    from atheria_server.models.qca.fused import Advance
    from atheria_server.models.qca.laws import Law


_PICTURE: Final = TensorSpec(name=sig.OUTPUT_PICTURE, datatype="UINT8", shape=(-1, 2, -1, -1), optional=True)
_VOLUME: Final = TensorSpec(name=sig.OUTPUT_VOLUME, datatype="FP32", shape=(-1, -1, -1, -1), optional=True)


class QcaApi(litserve.LitAPI):  # type: ignore[misc]
    """Serves one law; the parameters are those of `settings`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, digest: str = "", **options: Any) -> None:
        """Raises QcaSettingsError; the weights are read in `setup`. `options` go to LitAPI."""
        super().__init__(**options)
        self.settings = parse_settings(parameters)
        self.digest = digest
        self.law: Law | None = None
        self.volumes: VolumeDecoder | None = None
        self.advance: Advance | None = None

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
                _PICTURE,
                *([_VOLUME] if self.settings.volumes else []),
            ),
        )

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Check one call; seeds and noise become one value a row. Raises InvalidRequestError."""
        if sig.PARAMETER_DEPTH in parameters and not self.settings.volumes:
            raise InvalidRequestError(
                "parameter depth asks for a volume, which this model does not make; start it with the model's parameter "
                "volumes=true, or leave depth out"
            )
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
                sig.PARAMETER_DEPTH: request.depth,
                sig.PARAMETER_PICTURE: request.picture,
                sig.PARAMETER_LAST_STATE: request.last_state,
                sig.PARAMETER_START_STEP: request.start_step,
            },
            rows=request.rows,
            batch_key=("qca", streaming, request.initial, *request.key),
        )

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """One short call a shape (2d, H, W); default (2d, 64, 64). Raises InvalidRequestError.

        Of as many steps as touch every graph of a compiled law.
        """
        calls = []
        for shape in shapes or self.default_shapes():
            if len(shape) != 3 or shape[0] != 2 * self.settings.channels:
                raise InvalidRequestError(
                    f"warm-up shape is {list(shape)}; expected [{2 * self.settings.channels}, H, W]"
                )
            size = {
                sig.PARAMETER_HEIGHT: shape[1],
                sig.PARAMETER_WIDTH: shape[2],
                sig.PARAMETER_STEPS: sum(sig.STEPS_PER_GRAPH),
            }
            calls.append(WarmupCall(inputs={sig.INPUT_SEED: np.zeros(rows, np.int64)}, parameters=size))
        return calls

    def setup(self, device: str) -> None:
        """Worker: load the law onto the device. Raises WeightsError."""
        import torch

        from atheria_server.models.qca.decoding import VolumeDecoder
        from atheria_server.models.qca.weights import load_law

        torch.set_num_threads(self.settings.threads)
        self.torch_device = device
        self.law = load_law(self.settings, self.digest).to(device)
        self.advance = None
        if self.settings.volumes and self.volumes is None:  # setup may run again for another precision
            self.volumes = VolumeDecoder.tuned(device, self.settings.channels)

    def compile_with(self, compiler: Compile) -> None:
        """Several steps in one graph; rows with noise stay as they are written."""
        from atheria_server.models.qca.fused import compiled_advance

        self.advance = compiled_advance(self._loaded(), compiler)

    def modules(self) -> Mapping[str, nn.Module]:
        """The law."""
        return {"law": self._loaded()}

    def module_groups(self) -> Mapping[str, Sequence[str]]:
        """The law's own groups; {} for a law without weights."""
        return {
            group: [f"law.{pattern}" for pattern in patterns]
            for group, patterns in self._loaded().groups().items()
        }

    def default_shapes(self) -> Sequence[tuple[int, ...]]:
        """(2d, 64, 64)."""
        return [(2 * self.settings.channels, sig.SIDE_DEFAULT, sig.SIDE_DEFAULT)]

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        """`count` seeds after 1, 8, 16 and 32 steps at each shape (2d, H, W); default 32 x 32."""
        return quality.golden_calls(self.settings.channels, shapes, count)

    def compare(self, baseline: Sequence[Arrays], variant: Sequence[Arrays]) -> Sequence[Measurement]:
        """Fidelities and statistics of the ensemble, from the outputs `state`."""
        return quality.compare(baseline, variant)

    def predict(self, batch: Batch) -> Arrays:
        """Worker: all outputs of a checked batch after its steps."""
        frame = next(self._frames(batch, int(batch.parameters[sig.PARAMETER_STEPS])))
        return frame.outputs

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """Worker: one frame every `every` steps and after the last step."""
        return self._frames(batch, int(batch.parameters[sig.PARAMETER_EVERY]))

    def _frames(self, batch: Batch, every: int) -> Iterator[Frame]:
        from atheria_server.models.qca import compute

        frames = compute.frames(self._loaded(), self.torch_device, batch, every, self.advance)
        depth = int(batch.parameters.get(sig.PARAMETER_DEPTH, 0))
        return self.volumes.add_volumes(frames, depth) if depth and self.volumes else frames

    def _loaded(self) -> Law:
        if self.law is None:
            raise RuntimeError("setup was not called; call it before predict or stream")
        return self.law
