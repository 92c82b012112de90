"""spec.scaling as the autoscaler gets it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from atheria_operator.api.model import ScalingMetric, ScalingPolicy
from atheria_operator.api.scaling import scaling_policy
from atheria_operator.api.types.scaling import Scaling


def policy(**fields: Any) -> ScalingPolicy:
    return scaling_policy(Scaling.model_validate(fields))


def test_the_defaults_of_the_api_are_those_of_the_policy() -> None:
    assert policy() == ScalingPolicy()


def test_every_field_arrives_in_its_unit() -> None:
    found = policy(
        minReplicas=1,
        maxReplicas=9,
        initialReplicas=2,
        metric="latency",
        target=6,
        latencyTarget="250ms",
        targetUtilization=50,
        stableWindow="2m",
        panicWindowPercent=20,
        panicThreshold=3,
        maxScaleUpRate=4,
        maxScaleDownRate=5,
        scaleDownDelay="7s",
        idleTimeout="8m",
        keepAlive="idleTimeout",
        waitingUsdPerHour=1.5,
        schedule=[
            {
                "days": ["Sat", "Mon"],
                "start": "22:30",
                "end": "06:00",
                "timeZone": "Asia/Kolkata",
                "minReplicas": 3,
            }
        ],
    )
    (window,) = found.schedule
    assert found == ScalingPolicy(
        min_replicas=1,
        max_replicas=9,
        initial_replicas=2,
        metric=ScalingMetric.LATENCY,
        target_calls=6,
        target_latency_seconds=0.25,
        target_utilization=0.5,
        stable_window_seconds=120,
        panic_window_percent=20,
        panic_threshold=3,
        max_scale_up_rate=4,
        max_scale_down_rate=5,
        scale_down_delay_seconds=7,
        idle_timeout_seconds=480,
        weighs_cold_starts=False,
        waiting_usd_per_hour=1.5,
        schedule=(window,),
    )
    assert found.panic_window_seconds == 24
    assert (window.start_minute, window.end_minute, window.days) == (22 * 60 + 30, 360, frozenset({0, 5}))
    assert window.zone.utcoffset(None) in (None, timedelta(hours=5.5))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"schedule": [{"start": "08:00", "end": "18:00", "timeZone": "Mars/Base", "minReplicas": 1}]},
            "spec.scaling.schedule[0].timeZone is 'Mars/Base', which is no time zone",
        ),
        ({"stableWindow": "2h"}, "spec.scaling.stableWindow is '2h', expected from 6s to 1h"),
        ({"minReplicas": 3, "maxReplicas": 2}, "minReplicas is 3, above maxReplicas 2"),
    ],
)
def test_what_the_api_server_could_not_know_is_refused_with_field_value_and_what_to_do(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=r"spec\.scaling") as refused:
        policy(**fields)
    assert words in str(refused.value)


def test_pods_that_sleep_at_zero_are_counted_and_others_go() -> None:
    assert policy(scaleToZero={"mode": "sleep"}).standby_replicas == 1
    found = policy(maxReplicas=4, scaleToZero={"mode": "sleep", "standbyReplicas": 3})
    assert (found.sleeps, found.standby_replicas) == (True, 3)
    assert not policy(maxReplicas=4, scaleToZero={"mode": "delete", "standbyReplicas": 3}).sleeps


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"minReplicas": 1},
            "minReplicas 1, with which no pod ever sleeps: set minReplicas 0, or mode delete",
        ),
        ({"class": "keda"}, "class 'keda', which knows of no pods that sleep"),
        (
            {"scaleToZero": {"mode": "sleep", "standbyReplicas": 2}},
            "standbyReplicas is 2, above maxReplicas 1",
        ),
    ],
)
def test_what_cannot_sleep_is_refused_with_what_to_do(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        policy(**{"scaleToZero": {"mode": "sleep"}, **given})
