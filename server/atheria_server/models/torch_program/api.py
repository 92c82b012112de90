"""`TorchProgramApi`: a .pt2 file behind LitServe's contract; what `file:///model.pt2` and its like lead to.

Built in the front process, which reads the signature from the file's JSON and never imports torch.
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
from atheria_server.models.torch_program.archive import open_archive
from atheria_server.models.torch_program.program_signature import read_signature
from atheria_server.sources.digest import check_digest
from atheria_server.sources.errors import UnusableSourceError

if TYPE_CHECKING:
    from torch import nn

SUFFIX: Final = ".pt2"


class TorchProgramApi(litserve.LitAPI):  # type: ignore[misc]
    """Serves one exported program; it takes no parameters."""

    def __init__(
        self, parameters: Mapping[str, Scalar], *, path: Path, digest: str = "", digest_of: Path | None = None
    ) -> None:
        """`digest` is that of `digest_of`, by default the file. Raises ProgramError and UnusableSourceError."""
        super().__init__()
        if parameters:
            raise UnusableSourceError(
                f"{path.name} takes no parameter {next(iter(parameters))!r}; an exported program has none"
            )
        self._path = path
        self._digest = digest
        self._digest_of = digest_of or path
        self.signature = read_signature(path)
        self.network: nn.Module | None = None

    def metadata(self) -> ModelMetadata:
        """Of the program's signature."""
        return self.signature.metadata()

    def validate(self, inputs: Arrays, parameters: Parameters, *, streaming: bool) -> ValidCall:
        """Names, datatypes, shapes and sizes that belong together. Raises InvalidRequestError."""
        del streaming
        return self.signature.check(inputs, parameters)

    def warmup_calls(self, shapes: Sequence[tuple[int, ...]], rows: int) -> Sequence[WarmupCall]:
        """Zeros; a shape is that of one row of the first input, by default that of the example at export."""
        return self.signature.calls(shapes, rows)

    def default_shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the first input's row, where no shapes are configured."""
        return self.signature.default_shapes()

    def golden_calls(self, shapes: Sequence[tuple[int, ...]], count: int) -> Sequence[WarmupCall]:
        """Normal values for the quality gate."""
        return self.signature.golden_calls(shapes, count)

    def setup(self, device: str) -> None:
        """Worker: check the digest, read the weights, build the graph. Raises UnusableSourceError and ProgramError."""
        from atheria_server.models.torch_program.graph import build
        from atheria_server.models.torch_program.weights import read_tensors

        check_digest(self._digest_of, self._digest)
        with open_archive(self._path) as archive:
            tensors = read_tensors(archive)
            self.network = build(archive.program(), tensors, device).to(device)
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
