"""Pretended GPUs: devices that the scheduler counts and nobody computes on, with the labels of a real pool.

For tests of scheduling, of GPU shortage and of one-GPU swaps. Called by `up --gpus PROFILE=N`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from atheria_local.errors import LocalError
from atheria_local.node import NODE_NAME
from atheria_local.shell import run

RESOURCE: Final = "nvidia.com/gpu"
PRODUCT_LABEL: Final = "nvidia.com/gpu.product"
PRODUCTS: Final = {
    "nvidia-l4": "NVIDIA-L4",
    "nvidia-a100-40gb": "NVIDIA-A100-SXM4-40GB",
    "nvidia-a100-80gb": "NVIDIA-A100-SXM4-80GB",
}
"""Hardware profile → the product label that GPU Feature Discovery gives its nodes."""


def parse(text: str) -> tuple[str, int]:
    """`nvidia-l4=2` → (profile, count). Raises LocalError naming what is allowed."""
    profile, separator, count = text.partition("=")
    if not separator or profile not in PRODUCTS or not count.isdigit() or not 0 <= int(count) <= 64:
        raise LocalError(
            f"--gpus is {text!r}; it must be PROFILE=N with N from 0 to 64 and PROFILE one of {', '.join(PRODUCTS)}"
        )
    return profile, int(count)


def pretend(kubectl: Sequence[str], profile: str, count: int) -> None:
    """Give the node `count` devices and the profile's label; 0 takes them away again."""
    capacity = {RESOURCE: str(count) if count else None}
    patch = json.dumps({"status": {"capacity": capacity, "allocatable": capacity}})
    run([*kubectl, "patch", "node", NODE_NAME, "--subresource=status", "--type=merge", "-p", patch])
    labels = json.dumps({"metadata": {"labels": {PRODUCT_LABEL: PRODUCTS[profile] if count else None}}})
    run([*kubectl, "patch", "node", NODE_NAME, "--type=merge", "-p", labels])
