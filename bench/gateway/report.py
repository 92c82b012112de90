"""From what the client saw to tables and verdicts; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.gateway.ways import DIRECT, GATEWAY
from bench.serving.verdict import Comparison, differences, judge, quantile, ratios

P50_BAR_MS: Final = 0.5
THROUGHPUT_BAR: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One turn: a way to the pod under one load."""

    round: int
    way: str
    bytes_each: int
    callers: int
    seconds: float
    latency_seconds: Sequence[float]
    between_cpu_seconds: float
    """Processor time of what is between caller and pod."""
    pod_cpu_seconds: float


Shape = tuple[int, int]
"""Bytes of a call, callers at once."""


def table(pieces: Iterable[Piece]) -> str:
    """Markdown: a table for each shape of load, and what it says of the bars."""
    shapes: dict[Shape, list[Piece]] = {}
    for piece in pieces:
        shapes.setdefault((piece.bytes_each, piece.callers), []).append(piece)
    return "\n\n".join(_section(shape, found) for shape, found in sorted(shapes.items(), key=_by_callers))


def _by_callers(one: tuple[Shape, object]) -> tuple[int, int]:
    (bytes_each, callers), _ = one
    return callers, bytes_each


def _section(shape: Shape, pieces: list[Piece]) -> str:
    bytes_each, callers = shape
    ways = list(dict.fromkeys(piece.way for piece in pieces))
    medians = _by_round(pieces, lambda found: quantile(_latencies(found), 0.5) * 1000)
    speeds = _by_round(pieces, lambda found: len(_latencies(found)) / sum(piece.seconds for piece in found))
    lines = [
        f"**{bytes_each:,} bytes each way, {callers} caller{'s' if callers > 1 else ''}**",
        "",
        "| way | p50, ms | over direct, ms | calls/s | of direct | processor ms a call: between | pod |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in ways:
        own = [piece for piece in pieces if piece.way == way]
        count = len(_latencies(own))
        lines.append(
            f"| {way} | {_shown(_only(medians, way), '.2f')} | {_shown(differences(medians, way, DIRECT), '+.2f')} "
            f"| {_shown(_only(speeds, way), '.0f')} | {_shown(ratios(speeds, way, DIRECT), '.2f')} "
            f"| {sum(piece.between_cpu_seconds for piece in own) / count * 1000:.2f} "
            f"| {sum(piece.pod_cpu_seconds for piece in own) / count * 1000:.2f} |"
        )
    if GATEWAY in ways and DIRECT in ways:
        lines += ["", _verdict(callers, medians, speeds)]
    return "\n".join(lines)


def _verdict(
    callers: int, medians: Mapping[int, Mapping[str, float]], speeds: Mapping[int, Mapping[str, float]]
) -> str:
    if callers == 1:
        found = differences(medians, GATEWAY, DIRECT)
        is_met = found.median <= P50_BAR_MS
        every = judge(found, P50_BAR_MS, at_least=False, ratio=False).value
        return f"Bar: p50 at most +{P50_BAR_MS} ms, median of rounds: {found.median:+.2f}, {'met' if is_met else 'missed'} (every round: {every})."
    found = ratios(speeds, GATEWAY, DIRECT)
    is_met = found.median >= THROUGHPUT_BAR
    every = judge(found, THROUGHPUT_BAR, at_least=True, ratio=True).value
    return f"Bar: at least {THROUGHPUT_BAR:.0%} of direct, median of rounds: {found.median:.0%}, {'met' if is_met else 'missed'} (every round: {every})."


def _by_round(pieces: Iterable[Piece], value: object) -> dict[int, dict[str, float]]:
    assert callable(value)
    groups: dict[tuple[int, str], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault((piece.round, piece.way), []).append(piece)
    found: dict[int, dict[str, float]] = {}
    for (number, way), group in groups.items():
        found.setdefault(number, {})[way] = float(value(group))
    return found


def _latencies(pieces: Iterable[Piece]) -> list[float]:
    return [one for piece in pieces for one in piece.latency_seconds]


def _only(rounds: Mapping[int, Mapping[str, float]], way: str) -> Comparison:
    return Comparison(values=tuple(row[way] for row in rounds.values() if way in row))


def _shown(found: Comparison, form: str) -> str:
    return f"{found.median:{form}} ({found.low:{form}} to {found.high:{form}})"
