"""Median seconds by phase as one bar an image, as SVG; needs matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.cold_start.marks import PHASES, ColdCall, spread

_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 9, "svg.fonttype": "none"}
_NAMED_SECONDS: Final = 0.1
"""A shorter phase has no number in the bar."""


def plot(path: Path, calls: Mapping[str, Sequence[ColdCall]]) -> None:
    """`calls` by image; the last one is at the top."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 1.6 + 0.7 * len(calls)), layout="constrained")
        axes = figure.subplots()
        colours = mpl.colormaps["tab20"]
        figures = {variant: spread(rows) for variant, rows in calls.items()}
        lefts = dict.fromkeys(figures, 0.0)
        for index, (point, words) in enumerate(PHASES.items()):
            widths = [figures[variant][point].median for variant in figures]
            bars = axes.barh(
                list(figures),
                widths,
                left=list(lefts.values()),
                color=colours(index),
                label=words,
                height=0.6,
            )
            axes.bar_label(
                bars,
                labels=[f"{width:.2f}" if width >= _NAMED_SECONDS else "" for width in widths],
                label_type="center",
                fontsize=7,
            )
            lefts = {variant: lefts[variant] + width for variant, width in zip(figures, widths, strict=True)}
        axes.set_xlabel("seconds that the caller of a model at zero waits, median of each phase")
        figure.legend(loc="outside lower center", ncols=3, fontsize=7)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal plots are equal files.
        figure.savefig(path, format="svg", metadata={"Date": None})
