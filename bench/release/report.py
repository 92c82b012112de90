"""The tables of a run, as Markdown; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from bench.release.calls import WAYS, Call
from bench.release.changes import Change
from bench.release.installs import POINTS


def installs_table(installs: Sequence[Mapping[str, float]]) -> str:
    """Median (smallest - largest) of the seconds until each point."""
    lines = ["| seconds since the begin of `helm install` | |", "|---|---|"]
    for point, words in POINTS.items():
        seconds = [one[point] for one in installs if point in one]
        cell = f"{median(seconds):.1f} ({min(seconds):.1f} - {max(seconds):.1f})" if seconds else "not seen"
        lines.append(f"| {words} | {cell} |")
    return "\n".join(lines)


def changes_table(changes: Sequence[Change], done: Sequence[Call]) -> str:
    """A row for each change: its seconds, what it replaced, its calls, and the longest of them."""
    lines = [
        "| | Helm's seconds | until the old pods are gone | replaced | definitions changed | calls | lost | longest call |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in changes:
        calls = one.calls(done)
        lost = sum(1 for call in calls if call.failure)
        longest = max((call.seconds for call in calls), default=0.0)
        lines.append(
            f"| `{one.name}` | {one.helm_seconds:.1f} | {one.seconds:.1f} | {', '.join(one.replaced) or 'nothing'} "
            f"| {'yes' if one.redefined else 'no'} | {len(calls)} | {lost} | {longest * 1e3:.0f} ms |"
        )
    return "\n".join(lines)


def ways_table(done: Sequence[Call]) -> str:
    """A row for each way of calling: calls, lost, median and longest."""
    lines = ["| way | calls | lost | median | longest |", "|---|---|---|---|---|"]
    for way in WAYS:
        calls = [call for call in done if call.way == way]
        milliseconds = [call.seconds * 1e3 for call in calls]
        lost = sum(1 for call in calls if call.failure)
        lines.append(
            f"| {way} | {len(calls)} | {lost} | {median(milliseconds):.0f} ms | {max(milliseconds):.0f} ms |"
        )
    return "\n".join(lines)
