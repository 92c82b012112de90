"""Percentiles of measured seconds, exact, as a table, JSON and a plot. Called by `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.text import Text

from atheria_cli.calls.load import Load, Tally
from atheria_cli.errors import CommandError
from atheria_cli.output_file import check_output_file

PERCENTILES: Final = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
PLOTS: Final = (".svg", ".png", ".pdf")
_LATE_SECONDS: Final = 0.1
"""A call that leaves later is told to be this machine's fault."""
_POINTS: Final = 200
"""Of the plot's curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A load test in figures; everything is measured."""

    calls: int
    failed: int
    not_sent: int
    calls_per_second: float
    sent_late_seconds: float
    """Of an open loop: how late a call left at most, because this machine was busy."""
    mean_seconds: float | None
    """None without an answered call."""
    max_seconds: float | None
    percentiles: dict[str, float]
    """Seconds by percentile, only those that so many calls can tell: p99.9 needs 1000."""
    failures: dict[str, int]


def summarize(tally: Tally) -> Summary:
    """In figures."""
    seconds = np.array(tally.seconds)
    # Rounded: 1000 calls can tell p99.9, whatever floats make of a thousandth.
    told = [p for p in PERCENTILES if p <= 50 or round(len(seconds) * (100 - p) / 100, 9) >= 1]
    return Summary(
        calls=tally.answered,
        failed=sum(tally.failures.values()),
        not_sent=tally.not_sent,
        sent_late_seconds=tally.sent_late_seconds,
        calls_per_second=tally.ended / tally.counted_seconds if tally.counted_seconds else 0.0,
        mean_seconds=float(seconds.mean()) if len(seconds) else None,
        max_seconds=float(seconds.max()) if len(seconds) else None,
        percentiles={f"p{p:g}": float(np.percentile(seconds, p, method="higher")) for p in told}
        if len(seconds)
        else {},
        failures=dict(sorted(tally.failures.items(), key=lambda item: -item[1])),
    )


def as_json(summary: Summary, load: Load) -> dict[str, Any]:
    """The figures with what was asked for."""
    return {"load": asdict(load), **asdict(summary)}


def summary_table(summary: Summary, load: Load) -> RenderableType:
    """For people."""
    how = f"{'open' if load.rate else 'closed'} loop, {load.name}"
    head = Text(
        f"{how}, {load.seconds:g} s: {summary.calls} answered, {summary.failed} failed, {summary.calls_per_second:.1f} calls/s (measured)"
    )
    figures = dict(summary.percentiles)
    if summary.max_seconds is not None and summary.mean_seconds is not None:
        figures |= {"max": summary.max_seconds, "mean": summary.mean_seconds}
    told = Columns([Text(f"{name} {1000 * value:.2f} ms") for name, value in figures.items()], padding=(0, 2))
    lines = [Text(f"failed {count} times: {words}", style="red") for words, count in summary.failures.items()]
    if summary.not_sent:
        lines.append(Text(f"{summary.not_sent} calls were due but not sent: too many in flight", style="red"))
    if load.rate and summary.sent_late_seconds > _LATE_SECONDS:
        words = f"calls left up to {1000 * summary.sent_late_seconds:.0f} ms after they were due: this machine is too busy for that rate"
        lines.append(Text(f"{words}, and the times above include that", style="red"))
    return Group(head, told, *lines)


def check_plot(path: Path) -> None:
    """Before anything is measured: raises CommandError for a file that `plot` could not write."""
    check_output_file("--plot", path, PLOTS)
    if find_spec("matplotlib") is None:
        raise CommandError("--plot needs matplotlib: pip install 'atheria[report]'")


def plot(path: Path, tallies: Sequence[tuple[str, Tally]]) -> None:
    """Seconds over percentile, the tail stretched as in HdrHistogram's plots. Raises CommandError."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for label, tally in tallies:
        seconds = np.sort(np.array(tally.seconds))
        if not len(seconds):
            continue
        nines = np.linspace(0, np.log10(len(seconds)), _POINTS)
        axes.plot(nines, 1000 * np.quantile(seconds, 1 - 10**-nines, method="higher"), label=label)
    axes.set_xticks(range(5), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"])
    axes.set_xlabel("calls that were answered faster")
    axes.set_ylabel("ms until the answer (measured)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"--plot {path} cannot be written: {error}") from error
