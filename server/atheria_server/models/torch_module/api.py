"""`TorchModuleApi`: a folder with weights, served through a `torch.nn.Module` of the image.

Built in the front process from `atheria.json`; only the worker imports the class and torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from atheria_server.models.contract import Scalar
from atheria_server.models.torch_module.declaration import read_declaration
from atheria_server.models.torch_program.signature_api import SignatureApi
from atheria_server.sources.digest import check_digest
from atheria_server.sources.errors import UnusableSourceError

CLASS: Final = "class"
WEIGHTS_ONLY: Final = "weights_only"


class TorchModuleApi(SignatureApi):
    """Serves one module; parameters: `class` = package.module:Class, `weights_only`."""

    def __init__(self, parameters: Mapping[str, Scalar], *, path: Path, digest: str = "") -> None:
        """`path` is the folder. Raises UnusableSourceError."""
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
        super().__init__(read_declaration(path))
        self._class_path = class_path
        self._weights_only = weights_only
        self._path = path
        self._digest = digest

    def setup(self, device: str) -> None:
        """Worker: check the digest, build the module, load its weights. Raises UnusableSourceError."""
        from atheria_server.models.torch_module.build import build_module

        check_digest(self._path, self._digest)
        self.network = build_module(self._path, self._class_path, weights_only=self._weights_only).to(device)
        self._device_name = device
