"""`TorchModuleApi`: a folder with weights, served through a `torch.nn.Module` of the image.

Built in the front process from `atheria.json`; only the worker imports the class and torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import litserve

from atheria_server.models.contract import (
    Arrays,
    Batch,
    Frame,
    ModelMetadata,
    Parameters,
    Scalar,
    ValidCall,
    WarmupCall,
)
from atheria_server.models.torch_module.declaration import read_declaration
from atheria_server.sources.digest import check_digest
from atheria_server.sources.errors import UnusableSourceError

if TYPE_CHECKING:
    from torch import nn

CLASS: Final = "class"
WEIGHTS_ONLY: Final = "weights_only"


class TorchModuleApi(litserve.LitAPI):  # type: ignore[misc]
    """Serves one module; parameters: `class` = package.module:Class, `weights_only`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, path: Path, digest: str = "") -> None:
        """`path` is the folder. Raises UnusableSourceError."""
        super().__init__()
        if unknown := sorted(set(parameters) - {CLASS, WEIGHTS_ONLY}):
            raise UnusableSourceError(
                f"unknown parameter {unknown[0]!r}; allowed for a folder of weights: {CLASS}, {WEIGHTS_ONLY}"
            )
        class_path = parameters.get(CLASS, "")
        if not isinstance(class_path, str) or ":" not in class_path:
            raise UnusableSourceError(
                f"{path.name} holds weights, and parameter {CLASS} is {class_path!r}; "
                "expected the module that they belong to, as package.module:Class"
            )
        weights_only = parameters.get(WEIGHTS_ONLY, False)
        if not isinstance(weights_only, bool):
            raise UnusableSourceError(f"parameter {WEIGHTS_ONLY} is {weights_only!r}; expected true or false")
        self._class_path = class_path
        self._weights_only = weights_only
        self._path = path
        self._digest = digest
        self.signature = read_declaration(path)
        self.network: nn.Module | None = None

    def metadata(self) -> ModelMetadata:
        """As declared."""
        return self.signature.metadata()

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Names, datatypes, shapes and bounds as declared. Raises InvalidRequestError."""
        del streaming
        return self.signature.check(inputs, parameters)

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros; a shape is that of one row of the first input, by default of the declared default sizes."""
        return self.signature.calls(shapes, rows)

    def default_shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the first input's row, where no shapes are configured."""
        return self.signature.default_shapes()

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        """Normal values for the quality gate."""
        return self.signature.golden_calls(shapes, count)

    def setup(self, device: str) -> None:
        """Worker: check the digest, build the module, load its weights. Raises UnusableSourceError."""
        from atheria_server.models.torch_module.build import build_module

        check_digest(self._path, self._digest)
        self.network = build_module(self._path, self._class_path, weights_only=self._weights_only).to(device)
        self._device_name = device

    def predict(self, batch: Batch) -> Arrays:
        """Worker: all outputs."""
        from atheria_server.models.torch_program.run import compute

        if self.network is None:
            raise RuntimeError("setup was not called; call it before predict")
        return compute(self.network, self.signature, batch, self._device_name)

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """Worker: one frame, the answer."""
        yield Frame(outputs=dict[str, Any](self.predict(batch)))
