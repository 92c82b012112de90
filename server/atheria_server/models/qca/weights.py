"""Weights of the `nca` law: read a safetensors file, check its digest before its contents, build the law.

Called by the API at start and by tests. A file is data only: nothing in it is executed.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from atheria_server.models.qca.laws import KerrLaw, Law, NcaLaw
from atheria_server.models.qca.settings import QcaSettings

BUILTIN_FILE: Final = "nca-d8-h64.safetensors"
BUILTIN_DIGEST: Final = "sha256:83f5e2542ca2034b322007db695a6cce0abeb46edc71e55096b48c7bacbafe54"
"""Of the file that `python -m atheria_server.models.qca.train` made; change both together."""


class WeightsError(ValueError):
    """The weights cannot be used; the message names the file, what was found and what was expected."""


def load_law(settings: QcaSettings, digest: str = "") -> Law:
    """The float32 law that the settings name, in evaluation mode.

    `digest` ("sha256:<hex>", empty = not checked) must match the weights; the built-in file is always checked
    against its own. Raises WeightsError.
    """
    if settings.law == "kerr":
        if digest:
            raise WeightsError(
                f"digest is {digest}, but law kerr has no weights; remove the digest or set law=nca"
            )
        return KerrLaw(settings.channels, kappa=settings.kappa, theta0=settings.theta0).eval()
    name = settings.weights or BUILTIN_FILE
    data = _read(settings.weights)
    if not settings.weights:
        check_digest(data, BUILTIN_DIGEST, name)
    if digest:
        check_digest(data, digest, name)
    law = parse_nca(data, name)
    if law.channels != settings.channels:
        raise WeightsError(
            f"{name} is for d={law.channels}, but parameter d is {settings.channels}; set d={law.channels}"
        )
    return law.eval().requires_grad_(False)


def digest_of(data: bytes) -> str:
    """`sha256:<64 hex digits>` of a file's bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check_digest(data: bytes, expected: str, name: str) -> None:
    """Raise WeightsError unless the bytes of file `name` have the expected digest."""
    found = digest_of(data)
    if found != expected:
        raise WeightsError(
            f"{name} has digest {found}, expected {expected}; restore the file or correct the digest"
        )


def parse_nca(data: bytes, name: str) -> NcaLaw:
    """The law from a safetensors file's bytes; its sizes follow from the tensors. Raises WeightsError."""
    try:
        tensors = load(data)
        law = NcaLaw(
            tensors["out.weight"].shape[0] // 2,
            hidden=tensors["out.weight"].shape[1],
            depth=sum(key.startswith("hidden.") and key.endswith(".weight") for key in tensors),
        )
        law.load_state_dict(tensors)
    except (SafetensorError, KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{name} is not a safetensors file of law nca: {error}; expected hidden.N and out"
        ) from error
    if not all(bool(torch.isfinite(parameter).all()) for parameter in law.parameters()):
        raise WeightsError(f"{name} holds values that are not finite; train the law again")
    return law


def dump_nca(law: NcaLaw) -> bytes:
    """The safetensors file of a law; equal weights give equal bytes."""
    tensors: dict[str, Tensor] = {
        key: value.detach().cpu().contiguous() for key, value in law.state_dict().items()
    }
    data: bytes = save(tensors)
    return data


def _read(path: str) -> bytes:
    if not path:
        return resources.files(__package__).joinpath("weights", BUILTIN_FILE).read_bytes()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(
            f"weights {path} cannot be read: {error.strerror}; expected a safetensors file"
        ) from error
