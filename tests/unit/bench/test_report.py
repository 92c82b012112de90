"""The benchmark's tables never show a number that the rounds do not support."""

from __future__ import annotations

from bench.serving.measure import Measured
from bench.serving.report import document, tables
from bench.serving.servers import BARE, BARE_IDLE, BUSY, IDLE


def measured(calls_per_second: float, p50_ms: float = 1.0) -> Measured:
    return Measured(
        calls_per_second=calls_per_second,
        p50_ms=p50_ms,
        p99_ms=2 * p50_ms,
        server_cpu_ms_per_call=0.5,
        client_cpu_ms_per_call=0.5,
    )


def run(*pairs: tuple[float, float], p50_ms: float = 1.5) -> dict[int, dict[str, dict[str, Measured]]]:
    """Calls per second of the bare server and of Atheria, a pair for each round."""
    return {
        index: {
            BARE: {BUSY: measured(bare)},
            BARE_IDLE: {IDLE: measured(500.0, 1.0)},
            "atheria": {BUSY: measured(atheria), IDLE: measured(400.0, p50_ms)},
        }
        for index, (bare, atheria) in enumerate(pairs, 1)
    }


def line(text: str, beginning: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {beginning}"))


def test_a_clear_ratio_is_shown_with_its_spread_and_verdict() -> None:
    text = tables(run((1000, 1200), (2000, 2600), (1000, 1250)))
    assert "1.25 (1.20 - 1.30)" in line(text, "Atheria, gRPC |")
    assert line(text, "throughput >= 1.1 x bare").endswith("| 1.25 (1.20 - 1.30) | met |")


def test_a_ratio_with_too_wide_a_spread_is_not_shown() -> None:
    text = tables(run((1000, 500), (1000, 1000), (1000, 1800)))
    assert line(text, "throughput >= 1.1 x bare").endswith("| no ratio: 0.50 - 1.80 | no result |")


def test_a_bar_inside_the_spread_is_called_undecided() -> None:
    text = tables(run((1000, 1050), (1000, 1200), (1000, 1300)))
    assert line(text, "throughput >= 1.1 x bare").endswith("| 1.20 (1.05 - 1.30) | undecided |")


def test_too_few_rounds_give_no_ratio() -> None:
    assert "too few rounds | no result" in tables(run((1000, 5000), (1000, 5000)))


def test_low_load_is_compared_by_difference() -> None:
    text = tables(run((1, 2), (1, 2), (1, 2), p50_ms=2.5))
    assert line(text, "p50 of one caller").endswith("| +1.50 (+1.50 - +1.50) | missed |")


def test_bars_of_servers_that_were_not_measured_are_left_out() -> None:
    text = tables(run((1, 2), (1, 2), (1, 2)))
    assert "MLServer" not in text
    assert {bar["reference"] for bar in document(run((1, 2), (1, 2), (1, 2)))["bars"]} == {BARE, BARE_IDLE}


def test_a_server_that_failed_in_a_round_is_left_out_of_that_round() -> None:
    rounds = run((1000, 1200), (1000, 1250), (1000, 1300), (1000, 9999))
    del rounds[4][BARE]
    assert line(tables(rounds), "throughput >= 1.1 x bare").endswith("| 1.25 (1.20 - 1.30) | met |")
