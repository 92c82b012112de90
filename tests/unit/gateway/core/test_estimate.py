"""How long a start should still take, and which calls cannot wait so long."""

from __future__ import annotations

from atheria_gateway.core.estimate import Estimate, StartLog, estimate_ready, too_late
from atheria_gateway.core.hold import Refusal
from atheria_gateway.core.model import Model, ModelKey

KEY = ModelKey(namespace="demo", name="qca")
UNKNOWN = Model(key=KEY)


def _estimate(
    model: Model, log: StartLog, now_s: float = 100.0, now_unix_s: float = 1000.0
) -> Estimate | None:
    return estimate_ready(model, log, now_s=now_s, now_unix_s=now_unix_s)


def _log_of(*seconds: float) -> StartLog:
    log = StartLog()
    for taken_s in seconds:
        log.woken(KEY, 0.0)
        log.ready(KEY, taken_s)
    return log


def test_nothing_is_promised_without_a_history() -> None:
    assert _estimate(UNKNOWN, StartLog()) is None


def test_the_operators_expectation_of_a_start_under_way_comes_first() -> None:
    model = Model(key=KEY, expected_ready_unix_s=1012.0, start_seconds=(50.0,))
    assert _estimate(model, _log_of(90.0)) == Estimate(seconds=12.0, source="the start under way")


def test_a_start_that_takes_longer_than_expected_promises_nothing() -> None:
    assert _estimate(Model(key=KEY, expected_ready_unix_s=990.0, start_seconds=(50.0,)), StartLog()) is None
    log = _log_of(8.0)
    log.woken(KEY, 90.0)
    assert _estimate(UNKNOWN, log, now_s=98.5) is None


def test_starts_that_this_gateway_saw_count_more_than_the_status() -> None:
    model = Model(key=KEY, start_seconds=(50.0,))
    assert _estimate(model, StartLog()) == Estimate(seconds=50.0, source="the last start")
    assert _estimate(model, _log_of(8.0, 30.0, 10.0)) == Estimate(seconds=10.0, source="the last 3 starts")


def test_the_time_that_a_start_has_taken_already_counts() -> None:
    log = _log_of(10.0)
    log.woken(KEY, 96.0)
    estimate = _estimate(UNKNOWN, log)
    assert estimate is not None
    assert estimate.seconds == 6.0


def test_two_patches_of_one_wake_are_one_start_and_a_later_one_is_another() -> None:
    log = StartLog()
    log.woken(KEY, 0.0)
    log.woken(KEY, 0.2)
    assert log.begun_s(KEY) == 0.0
    log.woken(KEY, 60.0)
    log.ready(KEY, 67.0)
    assert log.taken(KEY) == (7.0,)
    assert log.under_way() == ()


def test_pods_that_this_gateway_did_not_wake_teach_nothing() -> None:
    log = StartLog()
    log.ready(KEY, 5.0)
    assert log.taken(KEY) == ()


def test_only_the_last_five_starts_count_and_a_deleted_models_are_forgotten() -> None:
    log = _log_of(100.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert log.taken(KEY) == (1.0, 2.0, 3.0, 4.0, 5.0)
    log.forget(KEY)
    assert log.taken(KEY) == ()


def test_a_call_is_refused_when_its_deadline_comes_first_and_told_when_to_try_again() -> None:
    estimate = Estimate(seconds=12.34, source="the last 3 starts")
    denial = too_late(UNKNOWN, estimate, 2.0)
    assert denial is not None
    assert denial.refusal is Refusal.DEADLINE
    assert denial.retry_after_s == 12.34
    assert "should have one in 12.3 s (from the last 3 starts)" in denial.message
    assert "the call's deadline is in 2.0 s" in denial.message


def test_a_call_without_a_deadline_with_a_later_one_or_without_an_estimate_waits() -> None:
    estimate = Estimate(seconds=12.0, source="the last start")
    assert too_late(UNKNOWN, estimate, None) is None
    assert too_late(UNKNOWN, estimate, 12.0) is None
    # Starts vary.
    assert too_late(UNKNOWN, estimate, 9.7) is None
    assert too_late(UNKNOWN, estimate, 9.5) is not None
    assert too_late(UNKNOWN, None, 0.1) is None
