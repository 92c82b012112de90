"""How many pods a model should have now: `decide(state, observation, policy, now) -> (state, Decision)`.

The law of the metric says what the calls need (`by_load`, `by_concurrency`, `by_latency`); here bounds and delays are put on it. More pods
come at once; pods go only when fewer have been enough for a while (`hold`, `keep_alive`), and the last ones only when no call has
come for the idle time. It never lowers without fresh, complete reports, never below a number that somebody else raised (a gateway's
wake) before a full idle time has been observed since, and never just because it starts anew or the clock jumps.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from atheria_operator.api.model import ScalingClass, ScalingMetric, ScalingPolicy
from atheria_operator.domain.scaling import capacity
from atheria_operator.domain.scaling.by_concurrency import by_concurrency, is_over
from atheria_operator.domain.scaling.by_latency import by_latency
from atheria_operator.domain.scaling.by_load import by_queue, by_rate
from atheria_operator.domain.scaling.decision import Decision, ScalingReason
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.hold import most, with_peak
from atheria_operator.domain.scaling.keep_alive import hold_seconds, idle_seconds, worth_seconds
from atheria_operator.domain.scaling.need import Need, Sight
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.schedule import scheduled_minimum
from atheria_operator.domain.scaling.service_time import measured
from atheria_operator.domain.scaling.state import ScalingState
from atheria_operator.domain.scaling.windows import next_mark, with_mark

STARTUP_ALLOWANCE_SECONDS: Final = 900.0
"""A cold start is not idleness: while no pod is ready yet the idle clock stands still, for at most this long."""
LONGEST_GAP_SECONDS: Final = 60.0
"""After a longer time without a look, or a clock that went back, every delay begins anew."""
_FADE_WINDOWS: Final = 3.0
"""A call's time is averaged over so many stable windows."""


def decide(
    state: ScalingState, observation: Observation, policy: ScalingPolicy, now_seconds: float
) -> tuple[ScalingState, Decision]:
    """The next state and the decision; `now_seconds` is a monotonic clock."""
    policy = _scheduled(policy, observation)
    if policy.scaling_class is ScalingClass.EXTERNAL:
        return _copy(observation, policy)
    state, decision = _own(state, observation, policy, now_seconds)
    if not policy.is_external or _takes_the_last(decision, policy):
        return state, decision
    # What is seen of the calls goes on: others are told of it, and the idle clock runs.
    _, copied = _copy(observation, policy)
    told = replace(copied, message=f"class {policy.scaling_class}: {copied.message}", inputs=decision.inputs)
    return replace(state, decided=copied.replicas), told


def _takes_the_last(decision: Decision, policy: ScalingPolicy) -> bool:
    """A HorizontalPodAutoscaler never goes below one pod, so what follows from idleness is done beside it."""
    return (
        policy.scaling_class is ScalingClass.HPA
        and decision.reason is ScalingReason.IDLE
        and decision.replicas == 0
    )


def _own(
    state: ScalingState, observation: Observation, policy: ScalingPolicy, now_seconds: float
) -> tuple[ScalingState, Decision]:
    """What this operator would do if it decided alone."""
    current = observation.current
    state = _after_gap(state, now_seconds)
    if state.decided is None or current > state.decided:
        # Somebody else raised it: every delay begins anew, what was learnt of the calls stays.
        state = replace(
            state,
            decided=current,
            idle_since_seconds=None,
            starting_since_seconds=None,
            steady_peaks=(),
            needed_peaks=(),
        )
    state = _with_start(replace(state, seen_seconds=now_seconds), observation, now_seconds)
    demand = observation.demand
    if demand is None:
        return _keep(state, observation, policy, ScalingReason.NO_REPORTS, "no gateway has reported for 3 s")
    is_idle = demand.calls == 0 and state.arrivals_total in (None, demand.arrivals_total)
    state, need = _look(state, observation, demand, policy, now_seconds)
    if not demand.is_complete and _wanted(need, demand, current, policy) <= current:
        return _keep(
            state, observation, policy, ScalingReason.INCOMPLETE_REPORTS, "a gateway has gone silent"
        )
    state = replace(state, arrivals_total=demand.arrivals_total)
    state, decision = _settle(state, observation, demand, need, policy, now_seconds, is_idle=is_idle)
    # It was raised by those who speak; for how long it is low counts from when all do.
    return (state if demand.is_complete else _without_delays(state)), decision


def _scheduled(policy: ScalingPolicy, observation: Observation) -> ScalingPolicy:
    if not policy.schedule or observation.wall_time is None:
        return policy
    lowest = max(policy.min_replicas, scheduled_minimum(policy.schedule, observation.wall_time))
    return replace(policy, min_replicas=min(lowest, policy.max_replicas))


def _copy(observation: Observation, policy: ScalingPolicy) -> tuple[ScalingState, Decision]:
    replicas = policy.clamp(observation.requested_replicas)
    return ScalingState(decided=replicas), Decision(
        replicas=replicas,
        is_fresh=True,
        reason=ScalingReason.EXTERNAL,
        message=f"spec.replicas is {observation.requested_replicas}, within {_bounds(policy)}",
    )


def _after_gap(state: ScalingState, now: float) -> ScalingState:
    seen = state.seen_seconds
    if seen is None or 0 <= now - seen <= LONGEST_GAP_SECONDS:
        return state
    state = replace(
        state, idle_since_seconds=None, marks=(), steady_peaks=(), needed_peaks=(), panic_until_seconds=None
    )
    return state if now >= seen else replace(state, starting_since_seconds=None)


def _with_start(state: ScalingState, observation: Observation, now: float) -> ScalingState:
    if observation.current == 0 or observation.ready_replicas > 0:
        return replace(state, starting_since_seconds=None)
    since = now if state.starting_since_seconds is None else state.starting_since_seconds
    return replace(state, starting_since_seconds=since)


def _is_starting(state: ScalingState, now: float) -> bool:
    since = state.starting_since_seconds
    return since is not None and now - since < STARTUP_ALLOWANCE_SECONDS


def _look(
    state: ScalingState, observation: Observation, demand: Demand, policy: ScalingPolicy, now: float
) -> tuple[ScalingState, Need]:
    """The sums with what is seen now, and what it needs by what was known of a call's time before."""
    last = state.marks[-1] if state.marks else None
    busy = min(float(demand.in_flight), observation.ready_replicas * policy.target_calls)
    mark = next_mark(last, demand, busy, now)
    marks = with_mark(state.marks, mark, policy.stable_window_seconds)
    sight = Sight(observation=observation, demand=demand, marks=marks, service_seconds=state.service.seconds)
    service = state.service
    if last is not None:
        service = measured(service, last, mark, _FADE_WINDOWS * policy.stable_window_seconds)
    state = replace(state, marks=marks, service=service)
    match policy.metric:
        case ScalingMetric.REQUESTS_PER_SECOND:
            return state, by_rate(sight, policy)
        case ScalingMetric.LATENCY:
            return state, by_latency(sight, policy)
        case ScalingMetric.CONCURRENCY:
            if is_over(sight, policy):
                state = replace(state, panic_until_seconds=now + policy.stable_window_seconds)
            until = state.panic_until_seconds
            return state, by_concurrency(sight, policy, is_panic=until is not None and now < until)
        case _:
            return state, by_queue(sight, policy)


def _wanted(need: Need, demand: Demand, current: int, policy: ScalingPolicy) -> int:
    """The need within the bounds: a call that waits needs a pod, and without one nobody is woken."""
    if demand.calls == 0 and current == 0:
        return policy.min_replicas
    # Calls that came and went are enough to stay awake.
    lowest = 1 if demand.calls else min(1, current)
    return policy.clamp(max(lowest, need.pods))


def _settle(
    state: ScalingState,
    observation: Observation,
    demand: Demand,
    need: Need,
    policy: ScalingPolicy,
    now: float,
    *,
    is_idle: bool,
) -> tuple[ScalingState, Decision]:
    current = observation.current
    worth = worth_seconds(policy, observation.cold_start_seconds, observation.usd_per_pod_hour)
    is_starting = is_idle and _is_starting(state, now)
    since = None
    if is_idle and not is_starting:
        since = now if state.idle_since_seconds is None else state.idle_since_seconds
    state = replace(state, idle_since_seconds=since)
    idle_for = idle_seconds(policy, worth)
    if since is not None and now - since >= idle_for:
        replicas = policy.min_replicas
        # Kept small: most models are idle most of the time.
        state = replace(state, decided=replicas, marks=state.marks[-1:], steady_peaks=(), needed_peaks=())
        return state, _decision(
            replicas,
            ScalingReason.IDLE,
            f"no call for {idle_for:g} s",
            "minReplicas" if replicas else "",
            observation,
            demand,
            need,
            state,
            policy,
        )
    wanted = _wanted(need, demand, current, policy)
    state, replicas, bound = _delayed(state, observation, demand, wanted, need, policy, worth, now)
    words = f"{demand.held} calls held and {demand.in_flight} in flight need {wanted}"
    reason = ScalingReason.DEMAND
    if bound == _NO_CAPACITY:
        reason = ScalingReason.NO_CAPACITY
        words += f"; {observation.unschedulable_replicas} pods have found no node, so no more are asked for"
    elif is_starting:
        reason, words = ScalingReason.STARTING, "no call yet, and no pod is ready yet"
    elif is_idle:
        reason, words = ScalingReason.WAITING_IDLE, f"no call, but not yet for {idle_for:g} s"
    elif replicas < current:
        reason = ScalingReason.LOWER_DEMAND
    elif replicas > wanted:
        reason = ScalingReason.DELAYED
    state = replace(state, decided=replicas)
    return state, _decision(replicas, reason, words, bound, observation, demand, need, state, policy)


_NO_CAPACITY: Final = "no node for more pods"


def _delayed(
    state: ScalingState,
    observation: Observation,
    demand: Demand,
    wanted: int,
    need: Need,
    policy: ScalingPolicy,
    worth: float | None,
    now: float,
) -> tuple[ScalingState, int, str]:
    """The state with the newest peaks, the number of pods, and what holds it where it is not at `wanted`."""
    current = policy.clamp(observation.current) if observation.current else 0
    hold = hold_seconds(policy, worth)
    short = max(policy.scale_down_delay_seconds, min(hold, policy.stable_window_seconds))
    steady_peaks, needed_peaks = state.steady_peaks, state.needed_peaks
    if not needed_peaks:
        # What there is was needed until now, as far as is known.
        needed_peaks = with_peak((), current, short, now)
        steady_peaks = with_peak((), current, hold, now)
    steady_peaks = with_peak(steady_peaks, min(wanted, need.steady_pods), hold, now)
    needed_peaks = with_peak(needed_peaks, wanted, short, now)
    state = replace(state, steady_peaks=steady_peaks, needed_peaks=needed_peaks)
    if wanted < current:
        if demand.calls > observation.ready_replicas * policy.target_calls:
            return state, current, "calls wait"
        replicas, bound = wanted, ""
        held = min(current, max(most(steady_peaks), most(needed_peaks)))
        if held > replicas:
            replicas = held
            bound = f"scaleDownDelay {short:g} s" if most(needed_peaks) >= held else f"kept for {hold:g} s"
        slowest = math.floor(current / policy.max_scale_down_rate)
        if slowest > replicas:
            replicas, bound = slowest, "maxScaleDownRate"
        return state, replicas, bound
    fastest = math.ceil(policy.max_scale_up_rate * max(1, observation.ready_replicas))
    limit = capacity.ceiling(observation.current, observation.unschedulable_replicas)
    if limit is not None and wanted > max(limit, policy.min_replicas):
        return state, max(limit, policy.min_replicas), _NO_CAPACITY
    if wanted > max(fastest, current):
        return state, max(fastest, current, policy.min_replicas), "maxScaleUpRate"
    if need.pods > wanted:
        return state, wanted, "maxReplicas"
    return state, wanted, "minReplicas" if wanted > max(need.pods, 1) else ""


def _keep(
    state: ScalingState, observation: Observation, policy: ScalingPolicy, reason: ScalingReason, words: str
) -> tuple[ScalingState, Decision]:
    # Even now above maxReplicas there is nothing to keep: that bound is the user's word, not a guess.
    replicas = policy.clamp(observation.current)
    state = replace(_without_delays(state), decided=replicas, marks=())
    return state, Decision(
        replicas=replicas,
        is_fresh=False,
        reason=reason,
        message=f"{words}: keeping {replicas}, within {_bounds(policy)}",
        bound="silence lowers nothing",
        inputs=_inputs(observation),
    )


def _without_delays(state: ScalingState) -> ScalingState:
    """What was idle or low before or during a silence proves nothing after it."""
    return replace(state, idle_since_seconds=None, steady_peaks=(), needed_peaks=())


def _decision(
    replicas: int,
    reason: ScalingReason,
    words: str,
    bound: str,
    observation: Observation,
    demand: Demand,
    need: Need,
    state: ScalingState,
    policy: ScalingPolicy,
) -> Decision:
    told = {
        "held": float(demand.held),
        "inFlight": float(demand.in_flight),
        "arrivalsPerSecond": need.arrivals_per_second,
        "burstPerSecond": need.burst_per_second,
        "serviceSeconds": state.service.seconds,
    }
    return Decision(
        replicas=replicas,
        is_fresh=True,
        reason=reason,
        message=f"{words}: {replicas}, within {_bounds(policy)}",
        formula=need.formula,
        bound=bound,
        inputs={**_inputs(observation), **{name: value for name, value in told.items() if value is not None}},
    )


def _inputs(observation: Observation) -> dict[str, float]:
    seen = {
        "replicas": observation.current,
        "ready": observation.ready_replicas,
        "starting": len(observation.fleet.starting_ages_seconds),
        "unschedulable": observation.unschedulable_replicas,
        "coldStartSeconds": observation.cold_start_seconds,
    }
    return {name: float(value) for name, value in seen.items() if value is not None}


def _bounds(policy: ScalingPolicy) -> str:
    return f"{policy.min_replicas} to {policy.max_replicas}"
