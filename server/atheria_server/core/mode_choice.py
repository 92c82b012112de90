"""Which compile mode pays on this device, and from which batch size on more rows gain nothing: decided by measured times.

Pure; `optimize.compiling.choose` measures, and obeys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

OFF: Final = "off"
WORTH: Final = 0.95
"""A mode is taken over a simpler one if it takes less than this part of its time per row; the same for larger batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChoice:
    """What `auto` comes to."""

    mode: str
    row_limit: int
    """The smallest batch size that is about as good per row as the best: larger ones only make callers wait."""
    why: str
    """With the numbers."""


def choose(seconds: Mapping[str, Mapping[int, float]], unavailable: Sequence[str] = ()) -> ModeChoice:
    """From seconds by mode (`off` among them, simplest first) and by rows of a batch; `unavailable` says what was not tried."""
    per_row = {mode: {rows: s / rows for rows, s in by_rows.items()} for mode, by_rows in seconds.items()}
    mode, best = OFF, min(per_row[OFF].values())
    for other, by_rows in per_row.items():
        if (fastest := min(by_rows.values())) < WORTH * best:
            mode, best = other, fastest
    row_limit = min(rows for rows, value in per_row[mode].items() if WORTH * value <= best)
    return ModeChoice(
        mode=mode, row_limit=row_limit, why="; ".join([_numbers(per_row, mode, row_limit), *unavailable])
    )


def _numbers(per_row: Mapping[str, Mapping[int, float]], chosen: str, row_limit: int) -> str:
    texts = []
    for mode, by_rows in per_row.items():
        rows = min(by_rows, key=lambda r: by_rows[r])
        name = "eager" if mode == OFF else mode
        texts.append(f"{name} {1000 * by_rows[rows]:.3g} ms a row at {rows} rows")
    name = "eager" if chosen == OFF else chosen
    return f"measured {', '.join(texts)}: {name}, batches of up to {row_limit}"
