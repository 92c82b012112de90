"""Time and memory of the kernels and ratio of the caches over length, as SVG; needs matplotlib (extra `report`)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.attention.caches import CacheFigures
from bench.attention.report import KERNELS, Cases

_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 9, "svg.fonttype": "none"}


def plot(path: Path, cases: Cases, figures: Sequence[CacheFigures]) -> None:
    """Three panels; lengths on a logarithmic axis."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lengths = sorted({tokens for _, tokens in cases})
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        seconds, memory, ratios = figure.subplots(1, 3)
        for kernel in KERNELS:
            of = [cases[kernel, tokens] for tokens in lengths]
            seconds.plot(
                lengths,
                [statistics.median(one.seconds * 1e3 for one in each) for each in of],
                marker="o",
                label=kernel,
            )
            memory.plot(
                lengths,
                [statistics.median(one.extra_bytes / 2**20 for one in each) for each in of],
                marker="o",
                label=kernel,
            )
        for name in dict.fromkeys(_name(one) for one in figures if one.settings.precision != "full"):
            shown = sorted((one.tokens, one.ratio) for one in figures if _name(one) == name)
            ratios.plot(*zip(*shown, strict=True), marker="o", label=name)
        for axes, words in (
            (seconds, "milliseconds of a causal pass"),
            (memory, "extra resident memory, MiB"),
            (ratios, "cache: times smaller than uncompressed"),
        ):
            axes.set_xscale("log", base=2)
            axes.set_xticks(lengths, [str(tokens) for tokens in lengths])
            axes.set_xlabel("tokens")
            axes.set_title(words, fontsize=9)
            axes.legend(fontsize=7)
            axes.grid(alpha=0.3)
        seconds.set_yscale("log")
        memory.set_yscale("log")
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal plots are equal files.
        figure.savefig(path, format="svg", metadata={"Date": None})


def _name(one: CacheFigures) -> str:
    return f"{one.settings.precision}, {one.base}, window {one.settings.recent_window}"
