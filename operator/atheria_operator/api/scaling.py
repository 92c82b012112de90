"""From spec.scaling to a ScalingPolicy."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.model import ScalingClass, ScalingMetric, ScalingPolicy, ScheduledMinimum
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
    if given.metric == "latency" and given.scalingClass in ("hpa", "keda"):
        raise ValueError(
            f"spec.scaling.metric is 'latency' with class {given.scalingClass!r}, which divides a sum by a target: use metric "
            "queueDepth, concurrency or requestsPerSecond, or class atheria"
        )
    to_zero = given.scaleToZero
    if to_zero.mode == "sleep":
        _check_standby(given)
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
        scaling_class=ScalingClass(given.scalingClass),
        standby_replicas=to_zero.standbyReplicas if to_zero.mode == "sleep" else 0,
    )


def _check_standby(given: Scaling) -> None:
    field = "spec.scaling.scaleToZero"
    if given.minReplicas:
        raise ValueError(
            f"{field}.mode is 'sleep' with minReplicas {given.minReplicas}, with which no pod ever sleeps: set minReplicas 0, or mode "
            "delete"
        )
    if given.scalingClass != "atheria":
        raise ValueError(
            f"{field}.mode is 'sleep' with class {given.scalingClass!r}, which knows of no pods that sleep: use class atheria, or mode "
            "delete"
        )
    if given.scaleToZero.standbyReplicas > given.maxReplicas:
        raise ValueError(
            f"{field}.standbyReplicas is {given.scaleToZero.standbyReplicas}, above maxReplicas {given.maxReplicas}: lower it or raise "
            "maxReplicas"
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
