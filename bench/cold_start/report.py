"""The table of a run, as Markdown; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.cold_start.marks import CPU, PHASES, TOTAL, ColdCall, Spread, spread


def markdown(calls: Mapping[str, Sequence[ColdCall]], processors: int, loads: Sequence[float]) -> str:
    """Median (smallest - largest) of each phase in seconds, a column an image; `loads` are load averages of the machine."""
    figures = {variant: spread(rows) for variant, rows in calls.items()}
    low, high = min(loads), max(loads)
    counts = ", ".join(f"{len(rows)} of {variant}" for variant, rows in calls.items())
    head = f"Cold calls: {counts}; {processors} processors, load average {low:.1f} to {high:.1f}."
    lines = [head, "", f"| seconds | {' | '.join(figures)} |", "|---|" + "---|" * len(figures)]
    for point, words in {**PHASES, TOTAL: "**the caller waited**", CPU: "CPU seconds of the pod"}.items():
        cells = " | ".join(_cell(of[point]) for of in figures.values())
        lines.append(f"| {words} | {cells} |")
    return "\n".join(lines)


def _cell(figure: Spread) -> str:
    return f"{figure.median:.2f} ({figure.low:.2f} - {figure.high:.2f})"
