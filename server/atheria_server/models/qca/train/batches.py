"""Batches of training states, and what the teacher makes of them, in an order that depends on the seed alone.

The order is drawn whole before the first iteration, so a training can be continued anywhere, and a loader with any
number of processes gives the same batches.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from atheria_server.models.qca.train.options import LONG_HORIZON, TrainingOptions
from atheria_server.models.qca.train.teacher import imitated, training_states

Pair = tuple[Tensor, Tensor | None]


class Batches(Dataset[Pair]):
    """Item i is iteration i's batch: its states, and the teacher's states (None: the trainer computes them)."""

    def __init__(self, options: TrainingOptions, rank: int) -> None:
        """Draws the order from torch's global generator: call it right after the weights were drawn."""
        self._options = options
        self._pool = training_states(options.channels, options.side)
        order = torch.randint(0, len(self._pool), (options.iterations, options.batch))
        rows = options.batch // options.processes
        self._order = order[:, rank * rows : (rank + 1) * rows]
        self._wanted: Mapping[int, Tensor] = (
            {steps: imitated(self._pool, steps) for steps in {1, LONG_HORIZON}} if options.precompute else {}
        )

    def __len__(self) -> int:
        """Iterations."""
        return len(self._order)

    def __getitem__(self, iteration: int) -> Pair:
        """States [B / processes, 2d, H, W], twice."""
        rows = self._order[iteration]
        states = self._pool[rows]
        steps = self._options.horizon(iteration)
        if self._wanted:
            return states, self._wanted[steps][rows]
        return states, imitated(states, steps) if self._options.loader_workers else None


def batches_from(dataset: Batches, first: int, options: TrainingOptions) -> Iterator[Pair]:
    """The batches of the iterations from `first` on."""
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(first, len(dataset)),
        num_workers=options.loader_workers,
        # Page-locked memory is CUDA's; without a device torch warns and does nothing.
        pin_memory=options.pin_memory and options.device != "cpu",
        worker_init_fn=_leave_signals_to_the_parent,
    )
    return iter(loader)


def _leave_signals_to_the_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
