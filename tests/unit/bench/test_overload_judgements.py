"""What the benchmark says about a run under overload."""

from __future__ import annotations

from dataclasses import replace

from bench.serving.overload import Overload, judgements, table
from bench.serving.verdict import Verdict

GOOD = Overload(
    device_seconds=0.02,
    queue_rows=384,
    seconds=60.0,
    peaks=(400.0, 404.0),
    asked=1200.0,
    offered=1195.0,
    goodput=395.0,
    p50_seconds=0.9,
    p99_seconds=0.99,
    late_seconds=0.01,
    refusals=(("RESOURCE_EXHAUSTED", "QUEUE_FULL", 48000),),
    examples=(),
    resident_bytes=tuple((float(t), 100 * 2**20) for t in range(60)),
)
GOODPUT, WAIT, MEMORY, REASONS = range(4)


def verdicts(found: Overload) -> list[Verdict]:
    return [verdict for _, _, verdict in judgements(found)]


def test_a_server_that_keeps_its_word_meets_every_bar() -> None:
    assert verdicts(GOOD) == [Verdict.MET] * 4


def test_goodput_between_the_two_peaks_shares_is_undecided() -> None:
    assert verdicts(replace(GOOD, peaks=(400.0, 500.0)))[GOODPUT] is Verdict.UNDECIDED


def test_goodput_below_both_is_missed() -> None:
    assert verdicts(replace(GOOD, goodput=300.0))[GOODPUT] is Verdict.MISSED


def test_the_wait_is_bounded_by_the_rows_before_a_call() -> None:
    assert GOOD.wait_bound_seconds == 1.0
    assert verdicts(replace(GOOD, p99_seconds=1.01))[WAIT] is Verdict.MISSED


def test_memory_that_grows_after_the_queue_is_full_is_missed() -> None:
    growing = tuple((float(t), (100 + t) * 2**20) for t in range(60))
    assert verdicts(replace(GOOD, resident_bytes=growing))[MEMORY] is Verdict.MISSED


def test_memory_that_grows_only_while_the_queue_fills_is_met() -> None:
    filling = tuple((float(t), min(100, 50 + 10 * t) * 2**20) for t in range(60))
    assert verdicts(replace(GOOD, resident_bytes=filling))[MEMORY] is Verdict.MET


def test_one_refusal_without_a_reason_is_missed() -> None:
    found = replace(GOOD, refusals=(*GOOD.refusals, ("CANCELLED", "", 1)))
    assert verdicts(found)[REASONS] is Verdict.MISSED
    assert "| CANCELLED | (none) | 1 |" in table(found)


def test_no_refusals_prove_nothing() -> None:
    assert verdicts(replace(GOOD, refusals=()))[REASONS] is Verdict.NO_RESULT


def test_a_client_that_could_not_send_enough_decides_nothing() -> None:
    assert verdicts(replace(GOOD, offered=900.0)) == [Verdict.NO_RESULT] * 4
