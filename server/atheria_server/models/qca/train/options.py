"""What a training is asked to do. No torch here: wrong options are refused before it is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

from atheria_server.models.qca.settings import (
    CHANNELS_DEFAULT,
    CHANNELS_MAX,
    CHANNELS_MULTIPLE,
    DEPTH_MAX,
    HIDDEN_MAX,
    THREADS_MAX,
    LawName,
)

Loss = Literal["batched", "looped"]
Shard = Literal["none", "zero", "fsdp"]

TRAINABLE: Final[tuple[LawName, ...]] = ("nca", "unet", "euler")
LOSSES: Final[tuple[Loss, ...]] = get_args(Loss)
SHARDS: Final[tuple[Shard, ...]] = get_args(Shard)
SIDE_MULTIPLE: Final = 8
LONG_HORIZON: Final = 4
PROCESSES_MAX: Final = 64
WORKERS_MAX: Final = 64


class TrainingOptionsError(ValueError):
    """The training cannot be done as asked; the message names the option, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """One training; the defaults are those that made the shipped weights."""

    law: LawName = "nca"
    channels: int = CHANNELS_DEFAULT
    hidden: int | None = None
    """None: the law's own."""
    depth: int | None = None
    seed: int = 0
    """Of the first weights and of the order of the states."""
    iterations: int = 600
    batch: int = 8
    """States an iteration, over all processes."""
    side: int = 32
    learning_rate: float = 3e-3

    device: str = "cpu"
    threads: int = 1
    loader_workers: int = 0
    """Processes that cut batches and compute what the teacher makes of them; 0 = this one."""
    pin_memory: bool = False
    """CUDA only: batches in page-locked memory, copied while the device computes."""
    precompute: bool = False
    """The teacher's states are computed once, before the first iteration."""
    amp: bool = False
    """The network's products in bfloat16; weights, state and angles stay float32."""
    fused: bool = False
    """Adam as one kernel over all weights."""
    accumulate: int = 1
    """Parts a batch is cut into; their gradients are added up."""
    set_to_none: bool = True
    """Free the gradients between two iterations; False keeps and zeroes them."""
    gradient_checkpointing: bool = False
    """Keep only the state between two steps for the backward pass, and compute the rest again."""
    compiled: bool = False
    loss: Loss = "batched"
    """`looped`: the trajectory and the loss of each state by itself."""
    rows_together: bool = False
    """The network takes all states of a batch in one product instead of one by one. Rounds differently."""
    shard: Shard = "none"
    """Among processes: `zero` the optimiser's state; `fsdp` that, the gradients and the weights."""
    processes: int = 1

    def horizon(self, iteration: int) -> int:
        """Steps between the state and what is compared."""
        return 1 if iteration < self.iterations // 2 else LONG_HORIZON

    def identity(self) -> dict[str, str | int | float | None]:
        """What must be equal for a training to be continued; the rest may change on the way."""
        names = ("law", "channels", "hidden", "depth", "seed", "iterations", "batch", "side", "learning_rate")
        return {name: getattr(self, name) for name in names}


def check_options(options: TrainingOptions) -> None:
    """Raise TrainingOptionsError for the first option that cannot be."""
    _among("--law", options.law, TRAINABLE)
    _among("--loss", options.loss, LOSSES)
    _among("--shard", options.shard, SHARDS)
    _within("--d", options.channels, CHANNELS_MULTIPLE, CHANNELS_MAX)
    _multiple("--d", options.channels, CHANNELS_MULTIPLE)
    if options.hidden is not None:
        _within("--hidden", options.hidden, 1, HIDDEN_MAX)
    if options.depth is not None:
        _within("--depth", options.depth, 1, DEPTH_MAX)
        if options.law == "unet":
            raise TrainingOptionsError("--depth belongs to law nca or euler, but --law is unet; remove it")
    _within("--iterations", options.iterations, 2, 10_000_000)
    _within("--batch", options.batch, 1, 4096)
    _within("--side", options.side, SIDE_MULTIPLE, 512)
    _multiple("--side", options.side, SIDE_MULTIPLE)
    _within("--threads", options.threads, 1, THREADS_MAX)
    _within("--loader-workers", options.loader_workers, 0, WORKERS_MAX)
    _within("--accumulate", options.accumulate, 1, options.batch)
    _within("--processes", options.processes, 1, PROCESSES_MAX)
    if not (math.isfinite(options.learning_rate) and options.learning_rate > 0):
        raise TrainingOptionsError(f"--learning-rate is {options.learning_rate}; expected a number above 0")
    if options.device != "cpu" and not options.device.startswith("cuda"):
        raise TrainingOptionsError(f"--device is {options.device!r}; allowed: cpu, cuda, cuda:N")
    _check_processes(options)


def _check_processes(options: TrainingOptions) -> None:
    if options.processes > 1 and options.shard == "none":
        raise TrainingOptionsError(
            f"--processes is {options.processes}, but --shard is none; set --shard zero or --shard fsdp"
        )
    if options.processes == 1 and options.shard != "none":
        raise TrainingOptionsError(
            f"--shard {options.shard} divides the state among processes, but there is one; set --processes 2 or more"
        )
    if options.shard != "none" and options.compiled:
        raise TrainingOptionsError(
            f"--compile is not offered with --shard {options.shard}; remove one of the two"
        )
    if options.batch % (options.processes * options.accumulate):
        raise TrainingOptionsError(
            f"--batch is {options.batch}; expected a multiple of --processes x --accumulate = "
            f"{options.processes * options.accumulate}"
        )


def _among(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise TrainingOptionsError(f"{flag} is {value!r}; allowed: {', '.join(allowed)}")


def _within(flag: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise TrainingOptionsError(f"{flag} is {value}; expected a whole number from {low} to {high}")


def _multiple(flag: str, value: int, of: int) -> None:
    if value % of:
        raise TrainingOptionsError(f"{flag} is {value}; expected a multiple of {of}")
