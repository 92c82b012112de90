"""How many pods a model should have now: `decide(state, observation, policy, now) -> (state, Decision)`.

The first autoscaler: calls held and in flight, divided by a target per pod. Demand adds pods at once; pods go only when
fewer have been enough for the scale-down delay, and the last ones only after the idle timeout. It never lowers without
fresh reports, never below a number that somebody else raised (a gateway's wake) before a full idle timeout has been
observed since, and never just because it starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.domain.scaling.demand import Demand

STARTUP_ALLOWANCE_SECONDS: Final = 900.0
"""A cold start is not idleness: while no pod is ready yet the idle clock stands still, for at most this long."""


class ScalingReason(StrEnum):
    """Why a number of pods was decided."""

    NO_REPORTS = "NoReports"
    INCOMPLETE_REPORTS = "IncompleteReports"
    DEMAND = "Demand"
    DELAYED = "ScaleDownDelayed"
    LOWER_DEMAND = "LowerDemand"
    STARTING = "Starting"
    WAITING_IDLE = "WaitingForIdleTimeout"
    IDLE = "Idle"
    EXTERNAL = "External"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the decision sees."""

    requested_replicas: int
    """spec.replicas of the model."""
    actual_replicas: int
    """spec.replicas of its Deployments, the highest."""
    ready_replicas: int
    """Pods that answer calls."""
    demand: Demand | None
    """None when no gateway has said anything lately."""

    @property
    def current(self) -> int:
        """The higher of both: whoever raised one of them is respected."""
        return max(self.requested_replicas, self.actual_replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingState:
    """What has to be remembered between two decisions; all of it may be lost without harm."""

    decided: int | None = None
    """The last decision; a higher current number means that somebody else raised it."""
    idle_since_seconds: float | None = None
    starting_since_seconds: float | None = None
    """Since when pods are asked for and none is ready."""
    lower_since_seconds: float | None = None
    """Since when fewer pods than there are have been enough."""
    lower_peak: int = 0
    """The most pods that were needed since then."""
    arrivals_total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A number of pods, with the words for status, event and log."""

    replicas: int
    is_fresh: bool
    """Made from complete, fresh reports; another one keeps what there is, within the bounds."""
    reason: ScalingReason
    message: str


def decide(
    state: ScalingState, observation: Observation, policy: ScalingPolicy, now_seconds: float
) -> tuple[ScalingState, Decision]:
    """The next state and the decision; `now_seconds` is a monotonic clock."""
    if policy.is_external:
        replicas = policy.clamp(observation.requested_replicas)
        return ScalingState(decided=replicas), Decision(
            replicas=replicas,
            is_fresh=True,
            reason=ScalingReason.EXTERNAL,
            message=f"spec.replicas is {observation.requested_replicas}, within {_bounds(policy)}",
        )
    current = observation.current
    if state.decided is None or current > state.decided:
        state = ScalingState(decided=current, arrivals_total=state.arrivals_total)
    state = _with_start(state, observation, now_seconds)
    demand = observation.demand
    if demand is None:
        return _hold(state, current, policy, ScalingReason.NO_REPORTS, "no gateway has reported for 3 s")
    wanted = _wanted(demand, policy)
    if not demand.is_complete and wanted <= current:
        return _hold(state, current, policy, ScalingReason.INCOMPLETE_REPORTS, "a gateway has gone silent")
    is_idle = demand.calls == 0 and state.arrivals_total in (None, demand.arrivals_total)
    state = replace(state, arrivals_total=demand.arrivals_total)
    if is_idle and _is_starting(state, now_seconds):
        return _decide_starting(replace(state, idle_since_seconds=None), current, policy, now_seconds)
    if is_idle:
        return _decide_idle(state, current, policy, now_seconds)
    return _decide_busy(replace(state, idle_since_seconds=None), current, wanted, demand, policy, now_seconds)


def _wanted(demand: Demand, policy: ScalingPolicy) -> int:
    if demand.calls == 0:
        return policy.min_replicas
    return policy.clamp(max(1, -(-demand.calls // policy.target_calls)))


def _with_start(state: ScalingState, observation: Observation, now: float) -> ScalingState:
    if observation.current == 0 or observation.ready_replicas > 0:
        return replace(state, starting_since_seconds=None)
    since = now if state.starting_since_seconds is None else state.starting_since_seconds
    return replace(state, starting_since_seconds=since)


def _is_starting(state: ScalingState, now: float) -> bool:
    since = state.starting_since_seconds
    return since is not None and now - since < STARTUP_ALLOWANCE_SECONDS


def _decide_starting(
    state: ScalingState, current: int, policy: ScalingPolicy, now: float
) -> tuple[ScalingState, Decision]:
    state, replicas = _delayed(state, current, max(min(1, current), policy.min_replicas), policy, now)
    words = "no call yet, and no pod is ready yet"
    return replace(state, decided=replicas), _decision(replicas, ScalingReason.STARTING, words, policy)


def _decide_idle(
    state: ScalingState, current: int, policy: ScalingPolicy, now: float
) -> tuple[ScalingState, Decision]:
    since = now if state.idle_since_seconds is None else state.idle_since_seconds
    idle_seconds = now - since
    if idle_seconds >= policy.idle_timeout_seconds:
        replicas, reason = policy.min_replicas, ScalingReason.IDLE
        words = f"no call for {policy.idle_timeout_seconds:g} s"
    else:
        # The last pod waits for the idle timeout; more than one need not.
        state, replicas = _delayed(state, current, max(min(1, current), policy.min_replicas), policy, now)
        reason = ScalingReason.WAITING_IDLE
        words = f"no call, but not yet for {policy.idle_timeout_seconds:g} s"
    state = replace(state, idle_since_seconds=since, decided=replicas)
    return state, _decision(replicas, reason, words, policy)


def _decide_busy(
    state: ScalingState, current: int, wanted: int, demand: Demand, policy: ScalingPolicy, now: float
) -> tuple[ScalingState, Decision]:
    if demand.calls == 0:
        # Calls came and went between two reports: enough to stay awake, not to wake up.
        wanted = max(min(1, current), policy.min_replicas)
    state, replicas = _delayed(state, current, wanted, policy, now)
    reason = ScalingReason.DEMAND
    if replicas < current:
        reason = ScalingReason.LOWER_DEMAND
    elif replicas > wanted:
        reason = ScalingReason.DELAYED
    words = f"{demand.held} calls held and {demand.in_flight} in flight at {policy.target_calls} a pod need {wanted}"
    return replace(state, decided=replicas), _decision(replicas, reason, words, policy)


def _delayed(
    state: ScalingState, current: int, wanted: int, policy: ScalingPolicy, now: float
) -> tuple[ScalingState, int]:
    """`wanted`, or what there is until fewer have been enough for the whole delay."""
    current = policy.clamp(current) if current else current
    if wanted >= current:
        return replace(state, lower_since_seconds=None, lower_peak=0), wanted
    if state.lower_since_seconds is None:
        state = replace(state, lower_since_seconds=now, lower_peak=wanted)
    state = replace(state, lower_peak=max(state.lower_peak, wanted))
    since = now if state.lower_since_seconds is None else state.lower_since_seconds
    if now - since < policy.scale_down_delay_seconds:
        return state, current
    return replace(state, lower_since_seconds=None, lower_peak=0), min(current, state.lower_peak)


def _hold(
    state: ScalingState, current: int, policy: ScalingPolicy, reason: ScalingReason, words: str
) -> tuple[ScalingState, Decision]:
    # Even now above maxReplicas there is nothing to keep: that bound is the user's word, not a guess.
    replicas = policy.clamp(current)
    # What was idle before the silence proves nothing after it.
    state = replace(state, decided=replicas, idle_since_seconds=None, lower_since_seconds=None, lower_peak=0)
    return state, Decision(
        replicas=replicas,
        is_fresh=False,
        reason=reason,
        message=f"{words}: keeping {replicas}, within {_bounds(policy)}",
    )


def _decision(replicas: int, reason: ScalingReason, words: str, policy: ScalingPolicy) -> Decision:
    return Decision(
        replicas=replicas,
        is_fresh=True,
        reason=reason,
        message=f"{words}: {replicas}, within {_bounds(policy)}",
    )


def _bounds(policy: ScalingPolicy) -> str:
    return f"{policy.min_replicas} to {policy.max_replicas}"
