"""Loss curves as an SVG; needs the extra `report` (matplotlib)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

POINTS_MAX: Final = 120
"""Of one curve: each is the geometric mean of a few iterations."""


class PlotError(RuntimeError):
    """There is nothing to draw with."""


def plot_losses(curves: Mapping[str, Sequence[float]], path: Path, *, title: str = "") -> None:
    """One line a training. Equal curves give equal files. Raises PlotError."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError(
            f"matplotlib is missing ({error}); install the extra: pip install 'atheria[report]'"
        ) from error
    import numpy as np

    with mpl.rc_context({"svg.hashsalt": "atheria", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        for name, losses in curves.items():
            width = max(1, -(-len(losses) // POINTS_MAX))
            parts = np.array_split(np.log(np.asarray(losses)), max(1, len(losses) // width))
            middles = np.cumsum([len(part) for part in parts]) - width / 2
            axes.plot(middles, [float(np.exp(part.mean())) for part in parts], label=name, linewidth=1)
        axes.set_yscale("log")
        axes.set_xlabel("iteration")
        axes.set_ylabel("loss: squared error per cell")
        axes.set_title(title)
        if len(curves) > 1:
            axes.legend(fontsize=7, ncols=2)
        figure.savefig(path, format=path.suffix.removeprefix(".") or "svg", metadata=_no_date(path))


def _no_date(path: Path) -> Mapping[str, None]:
    return {"Date": None} if path.suffix == ".svg" else {}
