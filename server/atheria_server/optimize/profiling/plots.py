"""SVG plots of reports; only where matplotlib is installed (extra `report`). Called by the commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from atheria_server.core.batch_time import BatchTime
from atheria_server.core.economics import Waterfall

WITHOUT: Final = "no plot: matplotlib is not installed; pip install 'atheria[report]', or leave --plot out"
_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 10, "svg.fonttype": "none"}


class PlotError(RuntimeError):
    """A plot cannot be drawn; the message says what to do."""


def plot_batch_time(path: Path, points: Sequence[tuple[int, float]], line: BatchTime, title: str) -> None:
    """t(B) in milliseconds: what was measured, and the fitted line. Raises PlotError."""

    def draw(axes: Any) -> None:
        rows = sorted({rows for rows, _ in points})
        axes.plot([r for r, _ in points], [1e3 * s for _, s in points], "o", label="measured", alpha=0.6)
        label = (
            f"t0 {1e3 * line.fixed_seconds:.2f} ms + {1e3 * line.row_seconds:.2f} ms per row, "
            f"R² {line.r_squared:.3f}"
        )
        axes.plot(rows, [1e3 * line.seconds(r) for r in rows], "-", label=label)
        axes.set_xlabel("rows in the batch")
        axes.set_ylabel("milliseconds")
        axes.set_ylim(bottom=0)
        axes.legend()

    _save(path, title, draw)


def plot_waterfall(path: Path, found: Waterfall, title: str) -> None:
    """US dollars per 1000 after each change, on a logarithmic axis. Raises PlotError."""

    def draw(axes: Any) -> None:
        names = ["before", *(step.name for step in found.steps)]
        costs = [found.first, *(step.per_thousand for step in found.steps)]
        axes.bar(names, costs, color=["#888888", *("#3b7dd8" for _ in found.steps)])
        for index, cost in enumerate(costs):
            factor = "" if index == 0 else f"\n{found.steps[index - 1].factor:.2f}×"
            axes.annotate(f"${cost:.2g}{factor}", (index, cost), ha="center", va="bottom", fontsize=8)
        axes.set_yscale("log")
        axes.margins(y=0.25)
        axes.set_ylabel("US dollars per 1000 inferences")
        axes.tick_params(axis="x", labelrotation=20)

    _save(path, f"{title}: {found.total:.1f} times cheaper", draw)


def _save(path: Path, title: str, draw: Callable[[Any], None]) -> None:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError(WITHOUT) from error
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without a date, equal plots are equal files.
            figure.savefig(path, format="svg", metadata={"Date": None})
        except OSError as error:
            raise PlotError(f"the plot {path} cannot be written: {error.strerror}") from error
