"""The counts behind ModelStatistics."""

from __future__ import annotations

from atheria_server.core.statistics import Statistics, Total


def test_a_batch_counts_once_as_an_execution_and_with_its_rows_as_inferences() -> None:
    statistics = Statistics()
    statistics.computed(rows=6, calls=3, seconds=0.5, at=100.0)
    statistics.computed(rows=6, calls=2, seconds=0.25, at=101.0)
    statistics.computed(rows=1, calls=1, seconds=0.125, at=102.0)
    assert (statistics.execution_count, statistics.inference_count) == (3, 13)
    assert statistics.batches == {
        6: Total(count=2, nanoseconds=750_000_000),
        1: Total(count=1, nanoseconds=125_000_000),
    }
    assert statistics.last_inference_at == 102.0


def test_each_call_of_a_batch_is_charged_the_time_of_the_whole_batch() -> None:
    statistics = Statistics()
    statistics.computed(rows=6, calls=3, seconds=0.5, at=1.0)
    assert statistics.compute_infer == Total(count=3, nanoseconds=1_500_000_000)


def test_a_call_that_did_not_end_well_is_a_failure_with_its_time() -> None:
    statistics = Statistics()
    statistics.call_ended(ok=True, seconds=1.0)
    statistics.call_ended(ok=False, seconds=2.0)
    assert statistics.success == Total(count=1, nanoseconds=10**9)
    assert statistics.fail == Total(count=1, nanoseconds=2 * 10**9)
