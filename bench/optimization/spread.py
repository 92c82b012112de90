"""Median and spread of interleaved rounds, and ratios that are only given where they are larger than the noise."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One variant over all rounds."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Quarter to quarter, as a part of the median."""
        return (self.high - self.low) / self.median


def measured(values: Sequence[float]) -> Measured:
    """Median and quartiles of at least 4 rounds."""
    low, median, high = statistics.quantiles(values, n=4)
    return Measured(median=median, low=low, high=high)


def ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """How many times `base` is of `values`, round by round, or why there is no such number."""
    found = measured([b / v for v, b in zip(values, base, strict=True)])
    if found.low <= 1.0 <= found.high:
        return f"no difference ({found.low:.2f} to {found.high:.2f})"
    return f"{found.median:.2f}x ({found.low:.2f} to {found.high:.2f})"


def conditions() -> str:
    """What else the machine did."""
    import torch

    load = os.getloadavg()
    return (
        f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} CPUs, "
        f"{torch.get_num_threads()} thread, load average {load[0]:.1f} / {load[1]:.1f}"
    )
