"""Sums, averages and the measured time of a call, against traffic whose answer is known."""

from __future__ import annotations

import pytest

from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.offered_load import burst_load, filled, pods_for, steady_load
from atheria_operator.domain.scaling.service_time import ServiceTime, measured
from atheria_operator.domain.scaling.windows import (
    Arrivals,
    Mark,
    arrivals_in,
    least_busy,
    mean_calls,
    mean_latency_seconds,
    next_mark,
    with_mark,
)


def said(calls: int, arrivals: int, *, held: int = 0, complete: bool = True) -> Demand:
    return Demand(held=held, in_flight=calls - held, arrivals_total=arrivals, is_complete=complete)


def watch(
    looks: list[tuple[float, Demand]], window_seconds: float = 60.0, busy: float | None = None
) -> tuple[tuple[Mark, ...], ServiceTime]:
    """Marks and time of a call after looks at these moments."""
    marks: tuple[Mark, ...] = ()
    service = ServiceTime()
    for at, demand in looks:
        last = marks[-1] if marks else None
        mark = next_mark(last, demand, float(demand.in_flight) if busy is None else busy, at)
        if last is not None:
            service = measured(service, last, mark, 180.0)
        marks = with_mark(marks, mark, window_seconds)
    return marks, service


def steady(seconds: int, per_second: int, calls: int) -> list[tuple[float, Demand]]:
    return [(float(second), said(calls, per_second * second)) for second in range(seconds)]


def test_steady_traffic_gives_its_rate_its_mean_and_by_little_its_time() -> None:
    marks, service = watch(steady(200, per_second=5, calls=10))
    assert arrivals_in(marks, 60) == Arrivals(calls=300, seconds=60)
    assert arrivals_in(marks, 6) == Arrivals(calls=30, seconds=6)
    assert mean_calls(marks, 60) == pytest.approx(10)
    # 10 calls at a time and 5 a second: 2 s each.
    assert service.seconds == pytest.approx(2)
    assert mean_latency_seconds(marks) == pytest.approx(2)
    assert steady_load(arrivals_in(marks, 60), 2.0, least_busy(marks)) == pytest.approx(10)


def test_a_window_keeps_no_more_marks_than_its_buckets() -> None:
    marks, _ = watch([(index / 7, said(1, index)) for index in range(7 * 300)])
    assert len(marks) <= 62
    assert arrivals_in(marks, 60).per_second == pytest.approx(7, rel=0.05)


def test_seconds_in_which_nobody_looked_are_no_seconds_without_calls() -> None:
    whole, _ = watch(steady(100, per_second=4, calls=8))
    gap, _ = watch([look for look in steady(100, per_second=4, calls=8) if not 70 <= look[0] < 90])
    assert arrivals_in(gap, 60).per_second == arrivals_in(whole, 60).per_second
    # Nothing is said of the calls between, beyond the seconds for which a report is valid.
    assert mean_calls(gap, 6) == pytest.approx(8)


def test_calls_after_a_quiet_time_count_as_the_short_windows_own() -> None:
    marks, _ = watch([(0.0, said(0, 0)), (600.0, said(20, 20))])
    assert arrivals_in(marks, 6) == Arrivals(calls=20, seconds=6)


def test_a_young_window_divides_by_its_real_length() -> None:
    marks, _ = watch([(0.0, said(0, 0)), (4.0, said(0, 8))])
    assert arrivals_in(marks, 60).per_second == 2


def test_a_gateway_that_comes_back_or_restarts_is_no_burst() -> None:
    looks = [
        (0.0, said(2, 1000)),
        (1.0, said(1, 400, complete=False)),
        (2.0, said(2, 1002)),
        (3.0, said(2, 1003)),
        (4.0, said(2, 3)),
    ]
    marks, _ = watch(looks)
    assert marks[-1].arrivals == 1


def test_nothing_is_measured_while_calls_are_held_because_one_given_up_looks_answered() -> None:
    _, service = watch([(0.0, said(50, 50, held=50)), (1.0, said(0, 50)), (2.0, said(0, 50))])
    assert service.seconds is None


def test_the_time_of_a_call_follows_the_newest_calls() -> None:
    _, slow = watch(steady(300, per_second=2, calls=8))
    marks, service = watch(
        steady(300, per_second=2, calls=8)
        + [(300.0 + second, said(2, 600 + 2 * second)) for second in range(600)]
    )
    assert slow.seconds == pytest.approx(4, rel=0.01)
    assert service.seconds == pytest.approx(1, rel=0.1)
    assert marks[-1].at_seconds == 899


def test_calls_so_short_that_no_report_sees_them_are_not_taken_for_no_work() -> None:
    _, service = watch([(float(second), said(0, 10 * second)) for second in range(60)])
    assert service.seconds is not None
    assert 0 < service.seconds < 0.01


def test_long_calls_without_arrivals_are_load() -> None:
    marks, _ = watch(steady(100, per_second=0, calls=12))
    assert steady_load(arrivals_in(marks, 60), 0.5, least_busy(marks)) == 12


def test_a_burst_counts_less_what_may_be_chance() -> None:
    assert burst_load(Arrivals(calls=100, seconds=5), 2.0) == pytest.approx((100 - 10) / 5 * 2)
    assert burst_load(Arrivals(calls=1, seconds=5), 2.0) == 0


@pytest.mark.parametrize(
    ("load", "utilization", "places"),
    [(100, 0.8, 125), (4, 0.8, 4 + 1.2 * 2), (4, 1.0, 4), (0, 0.8, 0)],
)
def test_few_places_keep_more_room_for_chance_than_many(
    load: float, utilization: float, places: float
) -> None:
    assert filled(load, utilization) == pytest.approx(places)


def test_a_burst_may_fill_the_whole_target() -> None:
    assert pods_for(0.0, 24.0, 8, 0.5) == 3
    assert pods_for(12.0, 24.0, 8, 0.5) == 3
    assert pods_for(16.0, 24.0, 8, 0.5) == 4


def test_a_clock_that_goes_back_voids_what_was_measured_with_it() -> None:
    marks, _ = watch([*steady(50, 5, 5), (10.0, said(5, 300))])
    assert len(marks) == 1
