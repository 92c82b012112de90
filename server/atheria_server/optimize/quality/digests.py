"""The name under which a verdict is kept: everything that may change a variant's outputs is in it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atheria_contract.optimization import PrecisionConfig, QualityConfig
from atheria_server.core.digest import digest_of
from atheria_server.models.contract import Scalar, WarmupCall

if TYPE_CHECKING:
    from torch import nn

_KERNELS: Final = ("bitsandbytes", "numpy")
"""Libraries, beside torch, whose arithmetic is in the outputs."""
_BUILTIN: Final = "atheria_server"


def variant_digest(
    *,
    weights: str,
    code: str,
    torch_version: str,
    device: str,
    compile_mode: str,
    precision: PrecisionConfig,
    quality: QualityConfig,
    shapes: Sequence[tuple[int, ...]] = (),
    parameters: Mapping[str, Scalar] | None = None,
) -> str:
    """`sha256:<hex>` of a variant and of how it is judged.

    `weights` and `code` are digests (`weights_digest`, `code_digest`), `device` is the kind (`cpu`, `NVIDIA L4`), `shapes`
    those of the golden calls, `parameters` the model's. Whether failing is allowed does not count: it changes what is
    served, not what was found.
    """
    return _digest(
        {
            "weights": weights,
            "code": code,
            "torch": torch_version,
            "device": device,
            "compile_mode": compile_mode,
            "precision": asdict(precision),
            "quality": asdict(replace(quality, allow_unvalidated=False)),
            "shapes": [list(shape) for shape in shapes],
            "parameters": dict(parameters or {}),
        }
    )


def golden_digest(*, weights: str, code: str, calls: Sequence[WarmupCall]) -> str:
    """`sha256:<hex>` of what baseline outputs depend on. Not of the device: a larger one may make them for a smaller."""
    return _digest(
        {
            "weights": weights,
            "code": code,
            "calls": [[digest_of(call.inputs), dict(call.parameters)] for call in calls],
        }
    )


def weights_digest(modules: Mapping[str, nn.Module]) -> str:
    """`sha256:<hex>` of all parameters and buffers, by name; to be taken before anything is quantised."""
    import torch

    found = hashlib.sha256()
    for name, module in sorted(modules.items()):
        for key, value in sorted(module.state_dict().items()):
            found.update(f"{name}.{key}\n".encode())
            if not isinstance(value, torch.Tensor):
                found.update(repr(value).encode())
                continue
            tensor = value.detach().cpu().contiguous()
            found.update(f"{tensor.dtype}\n{list(tensor.shape)}\n".encode())
            found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return f"sha256:{found.hexdigest()}"


def code_digest(api: object) -> str:
    """`sha256:<hex>` of the Python files that compute: this server's, the LitAPI's package, and the kernels' versions."""
    found = hashlib.sha256()
    for library in _KERNELS:
        found.update(f"{library}={_version(library)}\n".encode())
    packages = dict.fromkeys((_BUILTIN, type(api).__module__.partition(".")[0]))
    for package in packages:
        for name, file in sorted(_files_of(package)):
            found.update(f"{name}\n".encode())
            found.update(file.read_bytes())
    return f"sha256:{found.hexdigest()}"


def _files_of(package: str) -> Iterator[tuple[str, Path]]:
    module = sys.modules.get(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    for folder in folders:
        yield from ((str(file.relative_to(folder)), file) for file in folder.rglob("*.py"))
    file = getattr(module, "__file__", None)
    if not folders and file:
        yield Path(file).name, Path(file)


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _digest(document: Mapping[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
