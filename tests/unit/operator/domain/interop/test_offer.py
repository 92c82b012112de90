"""What other autoscalers are told of the calls, and what they are not."""

from __future__ import annotations

import pytest

from atheria_operator.api.model import ScalingClass, ScalingMetric, ScalingPolicy
from atheria_operator.domain.interop.offer import (
    ACTIVE_SECONDS,
    METRIC_CALLS,
    METRIC_CALLS_PER_SECOND,
    NoReading,
    Offer,
    is_active,
    offer_of,
    target_of,
    value_of,
)
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.windows import Mark, next_mark, with_mark

POLICY = ScalingPolicy(scaling_class=ScalingClass.KEDA, target_calls=4, target_utilization=0.85)
RATE = ScalingPolicy(scaling_class=ScalingClass.KEDA, metric=ScalingMetric.REQUESTS_PER_SECOND)


def demand(calls: int = 0, arrivals: int = 0, *, is_complete: bool = True) -> Demand:
    return Demand(held=0, in_flight=calls, arrivals_total=arrivals, is_complete=is_complete)


def seen(*looks: tuple[float, int, int], is_complete: bool = True) -> tuple[Mark, ...]:
    """Marks of (seconds, calls, arrivals since the beginning)."""
    marks: tuple[Mark, ...] = ()
    for at, calls, arrivals in looks:
        last = marks[-1] if marks else None
        marks = with_mark(
            marks, next_mark(last, demand(calls, arrivals, is_complete=is_complete), calls, at), 60
        )
    return marks


def offer(value: float = 3, last: float | None = 100) -> Offer:
    return Offer(metric=METRIC_CALLS, value=value, last_call_seconds=last)


def test_the_first_look_tells_the_calls_of_now() -> None:
    found = offer_of(seen((100, 6, 6)), POLICY, None, 1, 100)
    assert found == Offer(metric=METRIC_CALLS, value=6, last_call_seconds=100)


def test_a_burst_counts_at_once_and_the_mean_outlives_it() -> None:
    steady = [(100.0 + second, 2, 0) for second in range(60)]
    in_burst = offer_of(
        seen(*steady, *[(160.0 + second, 12, 0) for second in range(7)]), POLICY, None, 1, 166
    )
    assert in_burst is not None
    assert in_burst.value == pytest.approx(12)
    after = offer_of(
        seen(*steady, *[(160.0 + s, 12, 0) for s in range(7)], *[(167.0 + s, 0, 0) for s in range(7)]),
        POLICY,
        None,
        1,
        173,
    )
    assert after is not None
    assert 2 < after.value < 4


def test_without_calls_the_value_falls_to_nothing_and_is_settled() -> None:
    marks = seen((100, 4, 4), *[(101.0 + second, 0, 4) for second in range(62)])
    found = offer_of(marks, POLICY, None, 1, 162)
    assert found is not None
    assert found.is_settled


def test_calls_a_second_are_told_where_the_policy_counts_them() -> None:
    found = offer_of(seen(*[(100.0 + second, 0, 5 * second) for second in range(31)]), RATE, None, 1, 130)
    assert found is not None
    assert (found.metric, found.value) == (METRIC_CALLS_PER_SECOND, pytest.approx(5))


def test_what_a_part_of_the_gateways_say_is_not_told() -> None:
    assert offer_of(seen((100, 6, 6), is_complete=False), POLICY, None, 1, 100) is None
    assert offer_of((), POLICY, None, 1, 100) is None


def test_a_short_call_between_two_looks_is_remembered() -> None:
    found = offer_of(seen((100, 0, 0), (102, 0, 1)), POLICY, offer(last=None), 1, 102)
    assert found is not None
    assert found.last_call_seconds == 102
    later = offer_of(seen((100, 0, 1), (104, 0, 1)), POLICY, found, 1, 104)
    assert later is not None
    assert later.last_call_seconds == 102


@pytest.mark.parametrize(("pods", "last"), [(0, None), (2, 100)])
def test_pods_that_run_when_the_looking_begins_count_as_called_and_none_is_woken(
    pods: int, last: float | None
) -> None:
    found = offer_of(seen((100, 0, 0)), POLICY, None, pods, 100)
    assert found is not None
    assert found.last_call_seconds == last


def test_the_target_leaves_the_room_of_the_utilization() -> None:
    assert target_of(POLICY) == pytest.approx(3.4)


def test_the_value_is_never_below_the_calls_of_this_moment() -> None:
    assert value_of(offer(3), demand(9)) == (METRIC_CALLS, 9)
    assert value_of(offer(3), demand(1)) == (METRIC_CALLS, 3)
    rate = Offer(metric=METRIC_CALLS_PER_SECOND, value=3, last_call_seconds=None)
    assert value_of(rate, demand(9)) == (METRIC_CALLS_PER_SECOND, 3)


@pytest.mark.parametrize(
    ("made", "said", "words"),
    [
        (offer(), None, "no gateway has reported"),
        (offer(), demand(9, is_complete=False), "a gateway has gone silent"),
        (None, demand(9), "not been looked at"),
    ],
)
def test_an_unknown_value_is_not_told(made: Offer | None, said: Demand | None, words: str) -> None:
    with pytest.raises(NoReading, match=words):
        value_of(made, said)


def test_a_model_is_active_while_it_is_called_and_a_while_after() -> None:
    assert is_active(offer(last=None), demand(1), 500)
    assert is_active(offer(last=100), demand(0), 100 + ACTIVE_SECONDS - 1)
    assert not is_active(offer(last=100), demand(0), 100 + ACTIVE_SECONDS)
    assert not is_active(offer(last=None), demand(0), 500)


def test_a_call_that_is_known_counts_also_where_a_gateway_is_silent() -> None:
    assert is_active(None, demand(1, is_complete=False), 500)


@pytest.mark.parametrize(
    ("made", "said"), [(offer(), None), (offer(), demand(0, is_complete=False)), (None, demand(0))]
)
def test_whether_a_model_is_active_is_not_guessed(made: Offer | None, said: Demand | None) -> None:
    with pytest.raises(NoReading):
        is_active(made, said, 100)
