"""The network that settings name, with its weights: from a safetensors file whose digest is checked before its contents.

The trained weights ship with the package, as those of `qca` do: in float16, which changes nothing that is measured, they are
1.7 MB; training takes four minutes of a processor, too long for an image's build, a first call or each run of the tests, and
what is built elsewhere is other bits (a CPU's instructions decide how sums are rounded), so a digest could not be checked.
Networks compute in float32. A file is data only: nothing in it is executed.
"""

from __future__ import annotations

import logging
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.settings import SIZES, Preset
from atheria_server.models.weight_files import WeightsError, check_digest, read_named, read_shipped

_LOG = logging.getLogger("atheria.sceneline")

BUILTIN_FILE: Final = "sceneline-small.safetensors"
BUILTIN_DIGEST: Final = "sha256:189f23c8c044a3129bbf12c79b6743c4dd6824693a71b9f7369d974c6b0fa7d1"
"""Of the file that `python -m atheria_server.models.text.sceneline.train` made; change both together."""
UNTRAINED_SEED: Final = 0
"""Of the weights of a network that no file was trained for."""


def load_network(preset: Preset = "small", *, weights: str = "", digest: str = "") -> SceneLine:
    """The float32 network, in evaluation mode.

    `weights`: a safetensors file; empty = the trained one of `small`, and untrained weights for `large`. `digest`
    ("sha256:<hex>", empty = not checked) must match the file; the built-in one is always checked against its own. Raises
    WeightsError.
    """
    if preset != "small" and not weights:
        if digest:
            raise WeightsError(
                f"digest is {digest}, but preset {preset} has no weights file; set the parameter weights to one, "
                "or remove the digest"
            )
        _LOG.warning("preset=%s weights='seed %d, untrained'", preset, UNTRAINED_SEED)
        return draw_network(preset, UNTRAINED_SEED).eval().requires_grad_(requires_grad=False)
    name = weights or BUILTIN_FILE
    data = read_named(weights) if weights else read_shipped(__package__, BUILTIN_FILE)
    if not weights:
        check_digest(data, BUILTIN_DIGEST, name)
    if digest:
        check_digest(data, digest, name)
    return parse_network(data, name, preset)


def draw_network(preset: Preset, seed: int) -> SceneLine:
    """Untrained, its weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SceneLine(SIZES[preset])


def parse_network(data: bytes, name: str, preset: Preset) -> SceneLine:
    """The network from a safetensors file's bytes. Raises WeightsError."""
    try:
        tensors = load(data)
        with torch.device("meta"):
            network = SceneLine(SIZES[preset])
        network.load_state_dict({key: value.float() for key, value in tensors.items()}, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{name} is not a safetensors file of sceneline {preset}: {error}") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise WeightsError(f"{name} holds values that are not finite; train the network again")
    return network.eval().requires_grad_(requires_grad=False)


def dump_network(network: SceneLine) -> bytes:
    """The safetensors file of a network, in float16; equal weights give equal bytes."""
    tensors: dict[str, Tensor] = {
        key: value.detach().cpu().half().contiguous() for key, value in network.state_dict().items()
    }
    data: bytes = save(tensors)
    return data
