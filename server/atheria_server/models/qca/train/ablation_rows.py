"""What the ablation measures: the plain training, and the same with one option changed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from atheria_server.models.qca.train.machine import lacking, remark
from atheria_server.models.qca.train.options import (
    TrainingOptions,
    TrainingOptionsError,
    check_options,
)

PLAIN: Final = "plain"
WORKERS: Final = 2
PARTS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    options: TrainingOptions
    expected: str
    """What it should bring, and where it cannot: one sentence."""
    runs: bool = True
    """False: this machine lacks what it needs, which `expected` names."""
    is_noise: bool = False
    """The plain training with another seed: shows how far equal trainings are from each other."""


def ablation_rows(plain: TrainingOptions, *, seeds: int) -> list[Row]:
    """The plain training first, then it with `seeds` - 1 other seeds, then the options."""
    rows = [
        Row(
            name=f"{PLAIN}, seed {plain.seed + n}" if n else PLAIN,
            options=replace(plain, seed=plain.seed + n),
            expected="noise" if n else "the reference",
            is_noise=True,
        )
        for n in range(seeds)
    ]
    return rows + [
        Row(name=name, options=replace(plain, **changes), expected=expected)
        for name, changes, expected in _CHANGES
    ]


def judged(row: Row) -> Row:
    """The row as this machine can run it: `expected` says what it lacks or cannot gain."""
    try:
        check_options(row.options)
    except TrainingOptionsError as error:
        return replace(row, expected=f"not run: {error}", runs=False)
    if reason := lacking(row.options):
        return replace(row, expected=f"not run: {reason}", runs=False)
    if reason := remark(row.options):
        return replace(row, expected=reason, runs=not row.options.pin_memory)
    return row


_CHANGES: Final[tuple[tuple[str, Mapping[str, Any], str], ...]] = (
    ("looped loss", {"loss": "looped"}, "the opposite of batched: how much batching brings"),
    ("rows in one product", {"rows_together": True}, "fewer, larger products"),
    (
        f"{WORKERS} loader workers",
        {"loader_workers": WORKERS},
        "the teacher runs beside the student; gains only with idle cores",
    ),
    ("precomputed teacher", {"precompute": True}, "no teacher in the loop; its work moves before the start"),
    ("AMP bf16", {"amp": True}, "the products; small ones may lose more to conversions than they gain"),
    ("fused Adam", {"fused": True}, "one kernel; the optimiser's share is small with few weights"),
    (
        f"accumulation of {PARTS}, set_to_none",
        {"accumulate": PARTS},
        "memory of a part of the batch; more, smaller operations",
    ),
    (
        f"accumulation of {PARTS}, gradients kept",
        {"accumulate": PARTS, "set_to_none": False},
        "what set_to_none is compared with",
    ),
    (
        "gradient checkpointing",
        {"gradient_checkpointing": True},
        "memory of one step instead of all; computes the forward pass twice",
    ),
    ("compile", {"compiled": True}, "fused elementwise operations"),
    (
        "ZeRO, 2 processes",
        {"shard": "zero", "processes": 2},
        "Adam's state halved; gains time only with idle cores",
    ),
    (
        "FSDP, 2 processes",
        {"shard": "fsdp", "processes": 2},
        "weights, gradients and Adam's state halved; gains time only with idle cores",
    ),
    (
        "pinned memory, non_blocking",
        {"pin_memory": True},
        "copies to the device while it computes",
    ),
    (
        "all that gain together",
        {"precompute": True, "rows_together": True, "fused": True, "compiled": True},
        "precomputed teacher, one product, fused Adam, compiled",
    ),
)
