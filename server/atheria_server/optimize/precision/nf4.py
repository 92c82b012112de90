"""Linear layers in 4 bits (NormalFloat, blocks of 64) by bitsandbytes, and its import without surprises."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from atheria_server.core.precision import NF4_BLOCK, PrecisionError

_LOCK: Final = threading.Lock()


def load_bitsandbytes() -> Any:
    """The module. Raises PrecisionError where it is not installed or does not fit torch.

    As it stands, its import fetches a kernel from a model hub (through `kernels`, if that is installed), and hands
    functions to torch.compile, one of which is compiled when a layer of odd width is first used. A server must do
    neither while it serves, so the import is kept from both.
    """
    with _LOCK:
        if "bitsandbytes" in sys.modules:
            return sys.modules["bitsandbytes"]
        try:
            with _quiet(), _without_network_and_compiler():
                import bitsandbytes
        except (ImportError, OSError, RuntimeError) as error:
            raise PrecisionError(
                f"bitsandbytes cannot be used here: {error}; install the extra optimize "
                "(pip install 'atheria[optimize]') or use bf16"
            ) from error
        return bitsandbytes


@contextmanager
def _quiet() -> Iterator[None]:
    """Its warnings are of kernels that are not there."""
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _without_network_and_compiler() -> Iterator[None]:
    compiler, kernels = torch.compile, sys.modules.get("kernels")
    torch.compile = lambda function, **_: function  # type: ignore[assignment]
    sys.modules["kernels"] = None  # type: ignore[assignment] # makes its import fail
    try:
        yield
    finally:
        torch.compile = compiler
        del sys.modules["kernels"]
        if kernels is not None:
            sys.modules["kernels"] = kernels


class Nf4Linear(nn.Module):
    """A Linear whose weights are in 4 bits with a scale for each block of 64, multiplied by bitsandbytes' kernels.

    Not `bitsandbytes.nn.Linear4bit`: torch 2.6 cannot compile that, and on some CPUs it multiplies in bf16 whatever it is
    told. The quantisation and the product are the same functions.
    """

    packed: Tensor
    scales: Tensor
    bias: Tensor | None
    scales_8bit: Tensor | None
    scales_table: Tensor | None
    scales_offset: Tensor | None

    def __init__(self, layer: nn.Linear, compute: torch.dtype, *, compress_statistics: bool) -> None:
        """`compress_statistics` keeps the blocks' scales in 8 bits, too. Raises PrecisionError."""
        super().__init__()
        functional = load_bitsandbytes().functional
        packed, state = functional.quantize_4bit(
            layer.weight.detach(),
            blocksize=NF4_BLOCK,
            compress_statistics=compress_statistics,
            quant_type="nf4",
        )
        nested = state.state2
        self.register_buffer("packed", packed)
        self.register_buffer("scales", nested.absmax if nested else state.absmax)
        self.register_buffer("scales_8bit", state.absmax if nested else None)
        self.register_buffer("scales_table", nested.code if nested else None)
        self.register_buffer("scales_offset", state.offset if nested else None)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().to(compute))
        self.shape = [layer.out_features, layer.in_features]
        self.compute = compute

    def forward(self, values: Tensor) -> Tensor:
        """As the layer's, in the type of `values`."""
        result: Tensor = torch.ops.bitsandbytes.gemm_4bit(
            values.to(self.compute).contiguous(),
            self.packed,
            self.shape,
            self.scales,
            NF4_BLOCK,
            "nf4",
            self.bias,
            self.scales_8bit,
            self.scales_table,
            self.scales_offset,
        )
        return result.to(values.dtype)
