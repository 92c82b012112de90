"""How long a batch takes: t(B) = t0 + t1 B, fitted to measurements, and what follows from it. Pure.

Used by `profile`, `evaluate` and `economics`; t0 is what a batch costs whatever its size, t1 what each row adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NEAR_LIMIT: Final = 0.8
"""Of the largest possible gain: batches beyond the size that reaches it add latency and little else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTime:
    """A fitted line; neither part is negative."""

    fixed_seconds: float
    """t0."""
    row_seconds: float
    """t1."""
    r_squared: float
    """Share of the measurements' variance that the line explains; 1 = all, below 0 = worse than their mean."""

    def seconds(self, rows: float) -> float:
        """t(B)."""
        return self.fixed_seconds + self.row_seconds * rows

    def throughput(self, rows: float) -> float:
        """T(B) = B / t(B), rows per second."""
        return rows / self.seconds(rows)

    def gain(self, rows: float) -> float:
        """g(B) = B (t0 + t1) / (t0 + t1 B): throughput against one row at a time."""
        return rows * self.seconds(1) / self.seconds(rows)

    @property
    def gain_limit(self) -> float:
        """1 + t0/t1: what no batch exceeds; infinite where rows cost nothing."""
        return 1 + self.fixed_seconds / self.row_seconds if self.row_seconds > 0 else math.inf

    @property
    def fixed_share(self) -> float:
        """t0 / t(1): how much of a single row's time is not for the row."""
        return self.fixed_seconds / self.seconds(1)

    def useful_rows(self, largest: int, *, share: float = NEAR_LIMIT) -> int:
        """The smallest batch that gains `share` of what `largest` rows gain, from 1 to `largest`."""
        wanted = share * self.gain(largest)
        return next(rows for rows in range(1, largest + 1) if self.gain(rows) >= wanted)


def fit_batch_time(points: Sequence[tuple[int, float]]) -> BatchTime:
    """Least squares over (rows, seconds), with t0 >= 0 and t1 >= 0.

    Raises ValueError for fewer than two different batch sizes, rows below 1, or times that are not positive.
    """
    for rows, seconds in points:
        if rows < 1 or not (seconds > 0 and math.isfinite(seconds)):
            raise ValueError(f"point is ({rows}, {seconds}); expected rows >= 1 and positive seconds")
    if len({rows for rows, _ in points}) < 2:
        raise ValueError(
            f"{len(points)} points of one batch size; measure at least two sizes, such as 1 and 4"
        )
    lines = [line for line in _candidates(points) if min(line) >= 0]
    fixed, row = min(lines, key=lambda line: _residual(points, line))
    mean = sum(seconds for _, seconds in points) / len(points)
    variance = sum((seconds - mean) ** 2 for _, seconds in points)
    residual = _residual(points, (fixed, row))
    return BatchTime(
        fixed_seconds=fixed,
        row_seconds=row,
        r_squared=1 - residual / variance if variance > 0 else float(residual == 0),
    )


def mean_rows_under_load(arrivals_per_second: float, window_seconds: float, largest: int) -> float:
    """B = min(Bmax, 1 + lambda tau): rows of a batch that waits `window_seconds` after its first row."""
    return min(float(largest), 1 + arrivals_per_second * window_seconds)


def _candidates(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """The unbounded optimum, and the optima on the two bounds: the bounded optimum is among them."""
    count = len(points)
    mean_rows = sum(rows for rows, _ in points) / count
    mean_seconds = sum(seconds for _, seconds in points) / count
    covariance = sum((rows - mean_rows) * (seconds - mean_seconds) for rows, seconds in points)
    slope = covariance / sum((rows - mean_rows) ** 2 for rows, _ in points)
    through_origin = sum(rows * seconds for rows, seconds in points) / sum(rows * rows for rows, _ in points)
    return [(mean_seconds - slope * mean_rows, slope), (0.0, through_origin), (mean_seconds, 0.0)]


def _residual(points: Sequence[tuple[int, float]], line: tuple[float, float]) -> float:
    return sum((seconds - line[0] - line[1] * rows) ** 2 for rows, seconds in points)
