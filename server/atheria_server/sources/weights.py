"""State dicts of safetensors files, read by mmap, and checked before they become a model: used by `models.torch_module`.

Pickles (.bin, .pt, .pth) hold code that runs when they are read. They are refused; with `weights_only` they are read by
torch's restricted reader, which knows tensors alone. Worker only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from atheria_server.sources import pickles
from atheria_server.sources.errors import UnusableSourceError
from atheria_server.sources.source_url import checked_name

INDEX: Final = "model.safetensors.index.json"
_SHOWN: Final = 5
"""Names in an error."""
_CHUNK_VALUES: Final = 1 << 22

Read = Callable[[str], Tensor]


def load_into(module: nn.Module, path: Path, *, weights_only: bool = False) -> None:
    """Copy the weights of a file or folder into `module`, each exactly where it belongs.

    Raises UnusableSourceError for damaged files, pickles, names that are missing or too many, other shapes or datatypes,
    and values that are not finite.
    """
    with ExitStack() as files:
        found: dict[str, Read] = {}
        for file in weight_files(path, weights_only=weights_only):
            found |= files.enter_context(_opened(file, weights_only=weights_only))
        _copy(module, path.name, found)


def weight_files(path: Path, *, weights_only: bool) -> list[Path]:
    """The files that hold a model's weights. Raises UnusableSourceError."""
    if path.is_file():
        files = [path]
    elif (path / INDEX).exists():
        files = [path / name for name in _shards(path / INDEX)]
    else:
        files = sorted(path.glob("*.safetensors"))
        if not files:
            files = sorted(file for file in path.iterdir() if file.suffix in pickles.SUFFIXES)
    if not files:
        raise UnusableSourceError(f"{path} holds no weights; put model.safetensors there")
    for file in files:
        if file.suffix in pickles.SUFFIXES and not weights_only:
            raise pickles.refusal(file)
    return files


def check_finite(file: str, name: str, tensor: Tensor) -> None:
    """Raises UnusableSourceError for a tensor with NaN or infinity; in pieces, so that no copy of it is made."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return
    for piece in torch.split(tensor.detach().reshape(-1), _CHUNK_VALUES):
        # the 8-bit types know no isfinite
        values = piece.float() if piece.element_size() == 1 else piece
        if not bool(torch.isfinite(values).all()):
            raise UnusableSourceError(
                f"{file}: weights {name!r} hold NaN or infinity; they are damaged, or the training diverged"
            )


def _copy(module: nn.Module, file: str, found: Mapping[str, Read]) -> None:
    wanted = module.state_dict()
    loaded = {(t.data_ptr(), t.shape) for name, t in wanted.items() if name in found}
    # weights that share memory are stored once
    missing = [n for n, t in wanted.items() if n not in found and (t.data_ptr(), t.shape) not in loaded]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        parts = [
            f"{len(names)} {word}: {_listed(names)}"
            for word, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise UnusableSourceError(
            f"{file} does not have the weights of {type(module).__name__}: {'; '.join(parts)}; "
            "check the class and config.json"
        )
    for name, read in found.items():
        target, tensor = wanted[name], read(name)
        if tensor.shape != target.shape:
            raise UnusableSourceError(
                f"{file}: {name!r} has shape {list(tensor.shape)}, but {type(module).__name__} wants "
                f"{list(target.shape)}; check config.json"
            )
        if tensor.dtype != target.dtype:
            raise UnusableSourceError(
                f"{file}: {name!r} is {tensor.dtype}, but {type(module).__name__} has {target.dtype}; "
                "build the module in the type of its weights, or convert the file"
            )
        check_finite(file, name, tensor)
        with torch.no_grad():
            target.copy_(tensor)


@contextmanager
def _opened(file: Path, *, weights_only: bool) -> Iterator[dict[str, Read]]:
    if file.suffix in pickles.SUFFIXES:
        tensors = _unpickled(file) if weights_only else {}
        yield dict.fromkeys(tensors, tensors.__getitem__)
        return
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            yield dict.fromkeys(opened.keys(), opened.get_tensor)
    except (SafetensorError, OSError) as error:
        raise UnusableSourceError(
            f"{file.name} is truncated, damaged or no safetensors file ({error}); copy it again"
        ) from error


def _unpickled(file: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that was made to do harm may raise anything
        raise UnusableSourceError(
            f"{file.name} holds more than tensors, or is damaged; convert its state dict to safetensors"
        ) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UnusableSourceError(f"{file.name} is no state dict; save module.state_dict() alone")
    return {str(name): tensor for name, tensor in found.items()}


def _shards(index: Path) -> list[str]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({checked_name(str(name), index.name) for name in names})
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UnusableSourceError):
            raise
        raise UnusableSourceError(f"{index.name} is damaged ({error!r}); copy it again") from error


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
