"""The processes of one training: who this one is, and how they agree. Alone, everything is immediate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch
import torch.distributed as distributed

from atheria_server.models.qca.train.options import TrainingOptions

COLLECTIVE_SECONDS: Final = 300
"""Longest wait for the other processes; then this one ends with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among `count`."""

    rank: int = 0
    count: int = 1

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all of them must ask."""
        if self.count == 1:
            return flag
        said = torch.tensor([int(flag)])
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return bool(said.item())

    def first_says(self, number: int) -> int:
        """The first process's number; all of them must ask."""
        if self.count == 1:
            return number
        said = torch.tensor([number])
        distributed.broadcast(said, 0)
        return int(said.item())

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Of a number that each process has; all of them must ask."""
        if self.count == 1:
            return value
        total = value.detach().clone().cpu()
        distributed.all_reduce(total)
        return total / self.count


def join(rank: int, options: TrainingOptions, meeting: Path) -> Ranks:
    """Meet the others at a file that only they know; each has the GPU of its number, if any."""
    distributed.init_process_group(
        "gloo" if options.device == "cpu" else "cpu:gloo,cuda:nccl",
        init_method=meeting.as_uri(),
        rank=rank,
        world_size=options.processes,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
    )
    return Ranks(rank=rank, count=options.processes)


def leave() -> None:
    """Once everything is done."""
    distributed.destroy_process_group()
