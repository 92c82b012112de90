"""The law that settings name, with its weights: from a safetensors file whose digest is checked before its contents.

Called by the API at start, by training and by tests. A file is data only: nothing in it is executed.
"""

from __future__ import annotations

import logging
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from atheria_server.models.qca.laws import EulerLaw, KerrLaw, Law, NcaLaw, UnetLaw, perceptron, unet
from atheria_server.models.qca.settings import CHANNELS_DEFAULT, LawName, QcaSettings
from atheria_server.models.weight_files import WeightsError, check_digest, read_named, read_shipped

_LOG = logging.getLogger("atheria.qca")

BUILTIN_FILE: Final = "nca-d8-h64.safetensors"
BUILTIN_DIGEST: Final = "sha256:83f5e2542ca2034b322007db695a6cce0abeb46edc71e55096b48c7bacbafe54"
"""Of the file that `python -m atheria_server.models.qca.train` made; change both together."""


UNTRAINED_SEED: Final = 0
"""Of the weights of a law that no file was trained for."""


def load_law(settings: QcaSettings, digest: str = "") -> Law:
    """The float32 law that the settings name, in evaluation mode; `origin` says where its weights are from.

    `digest` ("sha256:<hex>", empty = not checked) must match the weights; the built-in file is always checked
    against its own. Raises WeightsError.
    """
    if settings.law == "kerr":
        if digest:
            raise WeightsError(
                f"digest is {digest}, but law kerr has no weights; remove the digest or set law=nca"
            )
        return KerrLaw(settings.channels, kappa=settings.kappa, theta0=settings.theta0).eval()
    if not settings.weights and not _ships(settings):
        return _untrained(settings, digest)
    name = settings.weights or BUILTIN_FILE
    data = read_named(settings.weights) if settings.weights else read_shipped(__package__, BUILTIN_FILE)
    if not settings.weights:
        check_digest(data, BUILTIN_DIGEST, name)
    if digest:
        check_digest(data, digest, name)
    law = parse_law(data, name, settings.law)
    _check_sizes(law, settings, name)
    law.origin = name
    return law.eval().requires_grad_(False)


def build_law(law: LawName, channels: int, *, hidden: int | None = None, depth: int | None = None) -> Law:
    """A law with weights, freshly drawn from torch's global generator; None = the law's own size.

    Raises ValueError for sizes that do not exist and for `kerr`, which has no weights.
    """
    if law == "unet":
        return UnetLaw(channels, hidden=hidden or unet.HIDDEN_DEFAULT)
    if law in ("nca", "euler"):
        kind = NcaLaw if law == "nca" else EulerLaw
        return kind(
            channels,
            hidden=hidden or perceptron.HIDDEN_DEFAULT,
            depth=depth or perceptron.DEPTH_DEFAULT,
        )
    raise ValueError(f"law is {law!r}; expected one with weights: nca, unet, euler")


def parse_law(data: bytes, name: str, law: LawName) -> Law:
    """The law from a safetensors file's bytes; its sizes follow from the tensors. Raises WeightsError."""
    try:
        tensors = load(data)
        out = tensors["head.weight" if law == "unet" else "out.weight"]
        depth = sum(key.startswith("hidden.") and key.endswith(".weight") for key in tensors)
        parsed = build_law(law, out.shape[0] // 2, hidden=out.shape[1], depth=depth)
        parsed.load_state_dict(tensors)
    except (SafetensorError, KeyError, IndexError, ValueError, RuntimeError) as error:
        wanted = "encoder, backbone and head" if law == "unet" else "hidden.N and out"
        raise WeightsError(
            f"{name} is not a safetensors file of law {law}: {error}; expected {wanted}"
        ) from error
    if not all(bool(torch.isfinite(parameter).all()) for parameter in parsed.parameters()):
        raise WeightsError(f"{name} holds values that are not finite; train the law again")
    return parsed


def dump_law(law: Law) -> bytes:
    """The safetensors file of a law; equal weights give equal bytes."""
    tensors: dict[str, Tensor] = {
        key: value.detach().cpu().contiguous() for key, value in law.state_dict().items()
    }
    data: bytes = save(tensors)
    return data


def _ships(settings: QcaSettings) -> bool:
    return (
        settings.law == "nca"
        and settings.channels == CHANNELS_DEFAULT
        and settings.hidden in (None, perceptron.HIDDEN_DEFAULT)
        and settings.depth in (None, perceptron.DEPTH_DEFAULT)
    )


def _untrained(settings: QcaSettings, digest: str) -> Law:
    if digest:
        raise WeightsError(
            f"digest is {digest}, but law {settings.law} of this size has no weights file; "
            "set the parameter weights to one, or remove the digest"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        law = build_law(settings.law, settings.channels, hidden=settings.hidden, depth=settings.depth)
    law.origin = f"seed {UNTRAINED_SEED}, untrained"
    _LOG.warning("law=%s weights='%s' parameters=%d", settings.law, law.origin, count_parameters(law))
    return law.eval().requires_grad_(False)


def count_parameters(law: Law) -> int:
    """Numbers that training would change."""
    return sum(parameter.numel() for parameter in law.parameters())


def _check_sizes(law: Law, settings: QcaSettings, name: str) -> None:
    """The file decides; a parameter that says something else is a mistake."""
    if law.channels != settings.channels:
        raise WeightsError(
            f"{name} is for d={law.channels}, but parameter d is {settings.channels}; set d={law.channels}"
        )
    asked = {"hidden": settings.hidden, "depth": settings.depth}
    for parameter, found in law.sizes().items():
        if asked[parameter] not in (None, found):
            raise WeightsError(
                f"{name} is for {parameter}={found}, but parameter {parameter} is {asked[parameter]}; "
                f"set {parameter}={found} or leave it out"
            )
