"""From spec.scaling to a ScalingPolicy."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.model import ScalingMetric, ScalingPolicy, ScheduledMinimum
from atheria_operator.api.types.scaling import DAYS, Scaling
from atheria_operator.api.types.scaling import ScheduledMinimum as GivenMinimum


def scaling_policy(given: Scaling) -> ScalingPolicy:
    """The policy; durations in seconds. Raises ValueError that names field, value and what is allowed."""
    if given.minReplicas > given.maxReplicas:
        raise ValueError(
            f"spec.scaling.minReplicas is {given.minReplicas}, above maxReplicas {given.maxReplicas}: lower minReplicas or raise "
            "maxReplicas"
        )
    stable_window = _seconds(given, "stableWindow")
    if not 6 <= stable_window <= 3600:
        raise ValueError(f"spec.scaling.stableWindow is {given.stableWindow!r}, expected from 6s to 1h")
    return ScalingPolicy(
        min_replicas=given.minReplicas,
        max_replicas=given.maxReplicas,
        initial_replicas=given.initialReplicas,
        metric=ScalingMetric(given.metric),
        target_calls=given.target,
        target_latency_seconds=_seconds(given, "latencyTarget"),
        target_utilization=given.targetUtilization / 100,
        stable_window_seconds=stable_window,
        panic_window_percent=given.panicWindowPercent,
        panic_threshold=given.panicThreshold,
        max_scale_up_rate=given.maxScaleUpRate,
        max_scale_down_rate=given.maxScaleDownRate,
        scale_down_delay_seconds=_seconds(given, "scaleDownDelay"),
        idle_timeout_seconds=_seconds(given, "idleTimeout"),
        weighs_cold_starts=given.keepAlive == "coldStart",
        waiting_usd_per_hour=given.waitingUsdPerHour,
        schedule=tuple(_window(window, index) for index, window in enumerate(given.schedule)),
        is_external=given.scalingClass == "external",
    )


def _seconds(given: Scaling, field: str) -> float:
    return duration_seconds(getattr(given, field), f"spec.scaling.{field}")


def _window(given: GivenMinimum, index: int) -> ScheduledMinimum:
    try:
        zone = ZoneInfo(given.timeZone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"spec.scaling.schedule[{index}].timeZone is {given.timeZone!r}, which is no time zone: use a name such as UTC or "
            "Europe/Madrid"
        ) from error
    return ScheduledMinimum(
        min_replicas=given.minReplicas,
        start_minute=_minute(given.start),
        end_minute=_minute(given.end),
        days=frozenset(DAYS.index(day) for day in given.days),
        zone=zone,
    )


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
