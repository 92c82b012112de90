"""Plots of figures that are on the benches' pages only as tables, as small SVGs; needs matplotlib (extra `report`).

Equal figures give equal files: no date, fixed ids, coordinates to a hundredth of a point. The other pictures of the overview are
drawn by the benches themselves from their single measurements.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tools.benchmarks.figures import Spread, number, numbers, plain, spread, tables

_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 9, "svg.fonttype": "none"}
_OURS: Final = "#c0392b"
_PEER: Final = "#3b7dd8"
_REFERENCE: Final = "#8a949e"
_VERDICTS: Final = {"passes strict": "#2e8b57", "passes default": "#d68910", "refused": _OURS}
_LONG: Final = re.compile(r"-?\d+\.\d{3,}")


def serving() -> str:
    """Throughput and processor time of each server over those of the bare one."""
    table = tables("serving.md", "server")[0]
    names = [plain(name) for name in table.column("server")]
    colours = [
        _REFERENCE if name.startswith("bare") else _OURS if name.startswith("Atheria") else _PEER
        for name in names
    ]

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, column, words in (
            (left, "throughput", "calls a second, bare gRPC server = 1"),
            (right, "CPU a call", "processor time a call, bare gRPC server = 1"),
        ):
            _bars(axes, names, [spread(cell) for cell in table.column(column)], colours)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xlabel(words)
            axes.axvline(1, color="#444444", linewidth=0.8)

    return _svg((10, 3.6), draw)


def quality() -> str:
    """The largest error of each precision at any step, coloured by the verdict of the gate."""
    table = tables("quality.md", "weights")[0]
    verdicts = zip(table.column("strict"), table.column("default"), strict=True)
    words = [
        "passes strict"
        if strict.startswith("pass")
        else "passes default"
        if default.startswith("pass")
        else "refused"
        for strict, default in verdicts
    ]
    errors = [spread(cell.split(" ", 1)[1]) for cell in table.column("largest error at any step, %")]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _bars(
            axes, [plain(name) for name in table.column("weights")], errors, [_VERDICTS[one] for one in words]
        )
        axes.set_xlabel(
            "largest error of structure or contrast at any step, % (standard error over the seeds)"
        )
        _key(figure, {verdict: colour for verdict, colour in _VERDICTS.items() if verdict in words})

    return _svg((9, 3.4), draw)


def text() -> str:
    """Tokens a second of a running batch over one text at a time."""
    table = tables("text.md", "Model and calls")[0]
    ratios = [
        Spread(value=number(ratio), least=numbers(around)[0], most=numbers(around)[1])
        for ratio, around in zip(table.column("Ratio"), table.column("Spread"), strict=True)
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _bars(axes, [plain(name) for name in table.column("Model and calls")], ratios, [_OURS] * len(ratios))
        axes.axvline(1, color="#444444", linewidth=0.8)
        axes.set_xlabel("tokens a second of a running batch, one text at a time = 1")

    return _svg((9, 1.7), draw)


def gateway() -> str:
    """Median latency of one caller directly, through a bare Envoy, and through the gateway."""
    table = tables("gateway.md", "one caller")[0]
    names = [plain(name) for name in table.column("one caller")]
    size = ""
    for place, name in enumerate(names):
        size = name.removesuffix(" direct") if name.endswith(" direct") else size
        names[place] = name if name.endswith(" direct") else f"{size} {name}"
    colours = [
        _REFERENCE if name.endswith("direct") else _OURS if name.endswith("gateway") else _PEER
        for name in names
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _bars(axes, names, [spread(cell) for cell in table.column("p50, ms")], colours)
        axes.set_xlabel("p50 of one caller, ms (median of the rounds, smallest and largest)")

    return _svg((8, 2.2), draw)


def installation() -> str:
    """Seconds from the begin of `helm install` to each step of a working operator."""
    table = tables("installation.md", "seconds since the begin of helm install")[0]
    names = [re.sub(r" \(.*\)", "", plain(row[0])) for row in table.rows]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        _bars(axes, names, [spread(row[1]) for row in table.rows], [_OURS] * len(names))
        axes.set_xlabel("seconds since the begin of helm install (median of installs, smallest and largest)")

    return _svg((9, 2.5), draw)


def live_replay() -> str:
    """Three figures of real processes beside those of the simulator, in both windows."""
    found = tables("live-replay.md", "")
    shown = [table for table in found if "real processes" in table.header]
    rows = ("GPU-seconds", "late share, %", "mean replicas")

    def draw(figure: Any) -> None:
        for axes, row in zip(figure.subplots(1, len(rows)), rows, strict=True):
            for place, table in enumerate(shown):
                for step, (column, colour) in enumerate(
                    (("real processes", _OURS), ("simulator, queue in the gateway", _PEER))
                ):
                    value = number(table.cell(row, column))
                    bar = axes.bar(place + (step - 0.5) * 0.38, value, width=0.36, color=colour)
                    axes.bar_label(bar, labels=[f"{value:g}"], fontsize=7)
            axes.set_xticks(range(len(shown)), [f"window {place + 1}" for place in range(len(shown))])
            axes.margins(y=0.15)
            axes.set_title(row, fontsize=9)
        _key(figure, {"real processes": _OURS, "simulator": _PEER})

    return _svg((9, 2.8), draw)


def chaos() -> str:
    """Calls that got no answer, by what was killed under them."""
    table = tables("chaos.md", "")[0]
    runs = table.header[1:]
    names = [name for name in table.by_name(runs[0]) if name.startswith("lost")]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for place, (run, colour) in enumerate(zip(runs, (_OURS, _PEER), strict=True)):
            values = [number(table.cell(name, run)) for name in names]
            bars = axes.barh(
                [row + (place - 0.5) * 0.38 for row in range(len(names))],
                values,
                height=0.36,
                color=colour,
                label=f"{run}: {table.cell('calls', run)} calls",
            )
            axes.bar_label(bars, labels=[f"{value:g}" for value in values], fontsize=7, padding=2)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("calls")
        axes.legend(fontsize=8)

    return _svg((9, 2.2), draw)


PLOTS: Final[Mapping[str, Callable[[], str]]] = {
    "serving.svg": serving,
    "quality.svg": quality,
    "text.svg": text,
    "gateway.svg": gateway,
    "installation.svg": installation,
    "live-replay.svg": live_replay,
    "chaos.svg": chaos,
}
"""Name of each file in docs/images/benchmarks, and what draws it."""


def _bars(axes: Any, names: Sequence[str], values: Sequence[Spread], colours: Sequence[str]) -> None:
    axes.barh(
        range(len(names)),
        [one.value for one in values],
        xerr=[[one.below for one in values], [one.above for one in values]],
        color=list(colours),
        height=0.7,
        error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "#222222"},
    )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _key(figure: Any, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), loc="outside lower center", ncols=len(colours), fontsize=8)


def _svg(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Inches, and what draws on the figure. Coordinates are cut to what an eye can see."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    short = _LONG.sub(lambda match: f"{float(match[0]):.2f}", drawn.getvalue())
    return "\n".join(line.rstrip() for line in short.splitlines()) + "\n"
