"""`TorchProgramApi`: a .pt2 file behind LitServe's contract; what `file:///model.pt2` and its like lead to.

Built in the front process, which reads the signature from the file's JSON and never imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from atheria_server.models.contract import Scalar
from atheria_server.models.torch_program.archive import open_archive
from atheria_server.models.torch_program.program_signature import read_signature
from atheria_server.models.torch_program.signature_api import SignatureApi
from atheria_server.sources.digest import check_digest
from atheria_server.sources.errors import UnusableSourceError

SUFFIX: Final = ".pt2"


class TorchProgramApi(SignatureApi):
    """Serves one exported program; it takes no parameters."""

    def __init__(
        self, parameters: Mapping[str, Scalar], *, path: Path, digest: str = "", digest_of: Path | None = None
    ) -> None:
        """`digest` is that of `digest_of`, by default the file. Raises ProgramError and UnusableSourceError."""
        if parameters:
            raise UnusableSourceError(
                f"{path.name} takes no parameter {next(iter(parameters))!r}; an exported program has none"
            )
        super().__init__(read_signature(path))
        self._path = path
        self._digest = digest
        self._digest_of = digest_of or path

    def setup(self, device: str) -> None:
        """Worker: check the digest, read the weights, build the graph. Raises UnusableSourceError and ProgramError."""
        from atheria_server.models.torch_program.graph import build
        from atheria_server.models.torch_program.weights import read_tensors

        check_digest(self._digest_of, self._digest)
        with open_archive(self._path) as archive:
            tensors = read_tensors(archive)
            self.network = build(archive.program(), tensors, device).to(device)
        self._device_name = device
