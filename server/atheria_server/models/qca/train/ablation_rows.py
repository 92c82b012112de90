"""What the ablation measures: the plain training, and the same with one option changed at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from atheria_server.models.qca.train.options import TrainingOptions

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


def ablation_rows(
    plain: TrainingOptions, *, seeds: int, can_compile: bool = True, devices: int = 0
) -> list[Row]:
    """The plain training first, then it with `seeds` - 1 other seeds, then the options."""
    on_cpu = plain.device == "cpu"
    rows = [Row(name=PLAIN, options=plain, expected="the reference", is_noise=True)]
    rows += [
        Row(
            name=f"{PLAIN}, seed {plain.seed + n}",
            options=replace(plain, seed=plain.seed + n),
            expected="noise",
            is_noise=True,
        )
        for n in range(1, seeds)
    ]
    for name, changes, expected in _CHANGES:
        rows.append(Row(name=name, options=replace(plain, **changes), expected=expected))
    pinned = Row(
        name="pinned memory, non_blocking",
        options=replace(plain, pin_memory=True),
        expected="cannot gain on the CPU: there is no copy to a device; not run"
        if on_cpu
        else "copies overlap computing",
        runs=not on_cpu,
    )
    best = Row(
        name="all that gain together",
        options=replace(plain, **_TOGETHER),
        expected="precomputed teacher, one product, fused Adam, compiled",
    )
    return [_checked(row, can_compile=can_compile, devices=devices) for row in (*rows, pinned, best)]


def _checked(row: Row, *, can_compile: bool, devices: int) -> Row:
    if row.options.compiled and not can_compile:
        return replace(row, expected="needs a C++ compiler, and there is none; not run", runs=False)
    if row.options.device != "cpu" and devices < row.options.processes:
        return replace(
            row, expected=f"needs {row.options.processes} GPUs, there is {devices}; not run", runs=False
        )
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
    ("AMP bf16", {"amp": True}, "the products only; small ones lose more to conversions than they gain"),
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
)
_TOGETHER: Final[Mapping[str, Any]] = {
    "precompute": True,
    "rows_together": True,
    "fused": True,
    "compiled": True,
}
