"""What waits, credit for pods on their way, how long pods are kept, times of the day."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from atheria_operator.api.model import ScalingPolicy, ScheduledMinimum
from atheria_operator.domain.scaling.backlog import Fleet, pods_for, waiting_after_start, waiting_calls
from atheria_operator.domain.scaling.capacity import ceiling
from atheria_operator.domain.scaling.hold import Peak, most, with_peak
from atheria_operator.domain.scaling.keep_alive import hold_seconds, idle_seconds, worth_seconds
from atheria_operator.domain.scaling.schedule import is_in, scheduled_minimum


def fleet(ready: int, *ages: float, start: float = 30.0) -> Fleet:
    return Fleet(ready=ready, starting_ages_seconds=ages, cold_start_seconds=start)


def test_calls_that_ready_pods_have_room_for_do_not_wait() -> None:
    assert waiting_calls(5, 20, 2, 8) == 5 + 4
    assert waiting_calls(0, 10, 2, 8) == 0


def test_pods_on_their_way_are_credited_with_what_they_will_have_done() -> None:
    # 100 calls of 3 s wait, nothing more comes; in 30 s one pod of 8 does 80 of them.
    assert waiting_after_start(100, 0.0, 3.0, fleet(0), 8) == 100
    assert waiting_after_start(100, 0.0, 3.0, fleet(1), 8) == pytest.approx(20)
    # Two that have half of their start behind them do as much.
    assert waiting_after_start(100, 0.0, 3.0, fleet(0, 15, 15), 8) == pytest.approx(20)
    assert waiting_after_start(100, 0.0, 3.0, fleet(1, 15, 15), 8) == 0


def test_what_comes_during_the_start_waits_too() -> None:
    assert waiting_after_start(0, 16.0, 2.0, fleet(1), 8) == pytest.approx((16 - 8) * 30 / 2)


def test_a_start_that_takes_longer_than_measured_is_credited_with_one_start_at_most() -> None:
    assert waiting_after_start(100, 0.0, 3.0, fleet(0, 1000), 8) == pytest.approx(20)


def test_waiting_calls_are_worked_off_in_a_third_of_a_start_and_a_long_one_takes_a_place() -> None:
    assert pods_for(80, 1.0, fleet(0, start=30), 8) == pytest.approx(1)
    assert pods_for(80, 60.0, fleet(0, start=30), 8) == 10
    assert pods_for(80, 1.0, fleet(0, start=0), 8) == 10


def test_the_most_of_a_window_is_kept_as_falling_peaks() -> None:
    peaks: tuple[Peak, ...] = ()
    for at, pods in ((0.0, 5), (1.0, 3), (2.0, 4), (3.0, 1)):
        peaks = with_peak(peaks, pods, 10, at)
    assert [peak.pods for peak in peaks] == [5, 4, 1]
    assert most(with_peak(peaks, 1, 10, 9.9)) == 5
    assert most(with_peak(peaks, 1, 10, 10.0)) == 4
    assert most(with_peak(peaks, 1, 10, 12.0)) == 1


POLICY = ScalingPolicy(scale_down_delay_seconds=30, idle_timeout_seconds=300, waiting_usd_per_hour=20)


@pytest.mark.parametrize(
    ("start", "price", "hold", "idle"),
    [
        # (1 + 20 / 4) x 20 s.
        (20.0, 4.0, 120, 120),
        # Too dear to be kept long: no sooner than the delay, the last pod no sooner than a minute.
        (1.0, 20.0, 30, 60),
        # Cheap: no longer than the idle timeout.
        (30.0, 0.1, 300, 300),
        # Without a price.
        (5.0, None, 150, 150),
        # Not measured.
        (None, 4.0, 30, 300),
    ],
)
def test_pods_are_kept_until_that_has_cost_as_much_as_their_next_start(
    start: float | None, price: float | None, hold: float, idle: float
) -> None:
    worth = worth_seconds(POLICY, start, price)
    assert (hold_seconds(POLICY, worth), idle_seconds(POLICY, worth)) == (hold, idle)


def test_who_does_not_weigh_gets_exactly_what_he_says() -> None:
    policy = ScalingPolicy(
        scale_down_delay_seconds=7, idle_timeout_seconds=9, weighs_cold_starts=False, waiting_usd_per_hour=1e6
    )
    worth = worth_seconds(policy, 100.0, 0.01)
    assert (hold_seconds(policy, worth), idle_seconds(policy, worth)) == (7, 9)


def test_a_short_idle_timeout_is_a_bound_also_for_a_minute() -> None:
    policy = ScalingPolicy(scale_down_delay_seconds=1, idle_timeout_seconds=3)
    assert idle_seconds(policy, worth_seconds(policy, 20.0, None)) == 3


def test_pods_without_a_node_cap_what_is_asked_for_at_what_there_is() -> None:
    assert ceiling(5, 0) is None
    assert ceiling(5, 2) == 5


OFFICE = ScheduledMinimum(
    min_replicas=2,
    start_minute=8 * 60,
    end_minute=18 * 60,
    days=frozenset(range(5)),
    zone=ZoneInfo("Europe/Madrid"),
)
NIGHT = ScheduledMinimum(min_replicas=1, start_minute=22 * 60, end_minute=6 * 60, days=frozenset({4}))


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        # Friday; Madrid is an hour ahead in winter, two in summer.
        ("2026-01-16T07:00:00", True),
        ("2026-01-16T06:59:59", False),
        ("2026-07-17T06:00:00", True),
        ("2026-01-16T16:59:59", True),
        ("2026-01-16T17:00:00", False),
        ("2026-01-17T10:00:00", False),
    ],
)
def test_a_window_follows_the_wall_clock_of_its_zone(moment: str, inside: bool) -> None:
    assert is_in(OFFICE, datetime.fromisoformat(moment).replace(tzinfo=UTC)) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-01-16T21:59:00", False),
        ("2026-01-16T22:00:00", True),
        ("2026-01-17T05:59:00", True),
        ("2026-01-17T06:00:00", False),
        # The night to Friday began on Thursday.
        ("2026-01-16T03:00:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(moment: str, inside: bool) -> None:
    assert is_in(NIGHT, datetime.fromisoformat(moment).replace(tzinfo=UTC)) is inside


def test_the_highest_of_several_windows_counts() -> None:
    always = ScheduledMinimum(min_replicas=3, start_minute=0, end_minute=24 * 60 - 1)
    friday = datetime(2026, 1, 16, 9, tzinfo=UTC)
    assert scheduled_minimum((OFFICE, always, NIGHT), friday) == 3
    assert scheduled_minimum((OFFICE, NIGHT), friday) == 2
    assert scheduled_minimum((NIGHT,), friday) == 0
