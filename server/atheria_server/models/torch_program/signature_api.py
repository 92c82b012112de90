"""A network behind its signature: what the LitAPIs of exported programs and of folders with weights have in common.

The signature answers in the front, without torch; the network that `setup` of the derived class builds computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import litserve

from atheria_server.models.contract import (
    Arrays,
    Batch,
    Frame,
    ModelMetadata,
    Parameters,
    ValidCall,
    WarmupCall,
)
from atheria_server.models.torch_program.tensor_signature import Signature

if TYPE_CHECKING:
    from torch import nn


class SignatureApi(litserve.LitAPI):  # type: ignore[misc]
    """Derived classes set `network` and `_device_name` in `setup`."""

    def __init__(self, signature: Signature) -> None:
        super().__init__()
        self.signature = signature
        self.network: nn.Module | None = None
        self._device_name = "cpu"

    def metadata(self) -> ModelMetadata:
        """Of the signature."""
        return self.signature.metadata()

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Names, datatypes, shapes, and sizes that belong together. Raises InvalidRequestError."""
        del streaming
        return self.signature.check(inputs, parameters)

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros; a shape is that of one row of the first input, by default the signature's own."""
        return self.signature.calls(shapes, rows)

    def default_shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the first input's row, where no shapes are configured."""
        return self.signature.default_shapes()

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        """Normal values for the quality gate."""
        return self.signature.golden_calls(shapes, count)

    def predict(self, batch: Batch) -> Arrays:
        """Worker: all outputs."""
        from atheria_server.models.torch_program.run import compute

        if self.network is None:
            raise RuntimeError("setup was not called; call it before predict")
        return compute(self.network, self.signature, batch, self._device_name)

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """Worker: one frame, the answer."""
        yield Frame(outputs=dict[str, Any](self.predict(batch)))
