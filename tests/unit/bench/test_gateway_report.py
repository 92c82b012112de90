"""The gateway's figures are compared round by round with those of direct calls, and its bars judged by the median of rounds."""

from __future__ import annotations

from bench.gateway.report import Piece, table
from bench.gateway.ways import DIRECT, GATEWAY


def _piece(number: int, way: str, milliseconds: float, *, callers: int = 1, between: float = 0.0) -> Piece:
    count = round(1000 / milliseconds)
    return Piece(
        round=number,
        way=way,
        bytes_each=1000,
        callers=callers,
        seconds=1.0,
        latency_seconds=[milliseconds / 1000] * count,
        between_cpu_seconds=between * count,
        pod_cpu_seconds=0.0,
    )


def _rounds(direct: list[float], gateway: list[float], callers: int = 1) -> str:
    return table(
        piece
        for number, (one, other) in enumerate(zip(direct, gateway, strict=True))
        for piece in (
            _piece(number, DIRECT, one, callers=callers),
            _piece(number, GATEWAY, other, callers=callers, between=0.0004),
        )
    )


def test_the_overhead_is_the_median_of_differences_within_rounds() -> None:
    # A slow round slows both sides: the medians of each side alone would differ by 10.2.
    text = _rounds([1.0, 2.0, 20.0], [1.2, 12.2, 20.4])
    assert "+0.40 (+0.20 to +10.20)" in text
    assert "median of rounds: +0.40, met" in text


def test_an_overhead_above_the_bar_is_missed() -> None:
    assert "median of rounds: +0.60, missed" in _rounds([1.0] * 3, [1.6] * 3)


def test_many_callers_are_judged_by_their_throughput() -> None:
    text = _rounds([1.0] * 3, [1.25] * 3, callers=16)
    assert "16 callers" in text
    assert "0.80 (0.80 to 0.80)" in text
    assert "median of rounds: 80%, met (every round: met)" in text
    assert "median of rounds: 50%, missed (every round: missed)" in _rounds([1.0] * 3, [2.0] * 3, callers=16)


def test_processor_time_is_that_of_a_call() -> None:
    assert "| 0.40 | 0.00 |" in _rounds([1.0], [2.0])
