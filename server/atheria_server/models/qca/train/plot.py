"""Loss curves as an SVG; needs the extra `report` (matplotlib)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

POINTS_MAX: Final = 120
"""Of one curve: each is the geometric mean of a few iterations."""


def plot_losses(curves: Mapping[str, Sequence[float]], path: Path, *, noise: Collection[str] = ()) -> None:
    """One line a training, those named in `noise` in grey. Equal curves give equal files."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "atheria", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 4.5), layout="constrained")
        axes = figure.subplots()
        colours = map(mpl.colormaps["tab20"], itertools.count())
        for name, losses in curves.items():
            width = max(1, -(-len(losses) // POINTS_MAX))
            parts = np.array_split(np.log(np.asarray(losses)), max(1, len(losses) // width))
            middles = np.cumsum([len(part) for part in parts]) - width / 2
            axes.plot(
                middles,
                [float(np.exp(part.mean())) for part in parts],
                label=name,
                linewidth=1,
                color="0.7" if name in noise else next(colours),
            )
        axes.set_yscale("log")
        axes.set_xlabel("iteration")
        axes.set_ylabel("loss: squared error per cell")
        if len(curves) > 1:
            figure.legend(fontsize=7, loc="outside right upper")
        figure.savefig(path, format=path.suffix.removeprefix(".") or "svg", metadata=_no_date(path))


def _no_date(path: Path) -> Mapping[str, None]:
    return {"Date": None} if path.suffix == ".svg" else {}
