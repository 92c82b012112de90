"""A user's own recorded calls under the settings of a model, and under others beside it. Called by `atheria replay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from atheria_operator.api.model import ModelIntent, Problem, ScalingMetric, ScalingPolicy
from atheria_operator.api.parse import parse_model
from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.compare import Comparison, MakePolicy, compare
from atheria_operator.simulation.fixed import Fixed
from atheria_operator.simulation.ours import AtheriaPolicy
from atheria_operator.simulation.world import World

GIVEN: Final = "as given"
_MOST_FIXED: Final = 4


class ReplayError(ValueError):
    """A model whose settings cannot be replayed."""


def policy_of(body: Mapping[str, Any]) -> ScalingPolicy:
    """spec.scaling of an AtheriaModel, from a manifest or a cluster. Raises ReplayError."""
    metadata = body.get("metadata")
    if body.get("kind") != "AtheriaModel" or not isinstance(metadata, Mapping):
        raise ReplayError(f"kind is {body.get('kind')!r}; allowed: AtheriaModel, with metadata")
    # A manifest that was never applied has no uid.
    whole = {**body, "metadata": {"uid": "none", "namespace": "default", **metadata}}
    intent: ModelIntent | Problem = parse_model(whole)
    if isinstance(intent, Problem):
        raise ReplayError(f"the model is not accepted: {intent.message}")
    if intent.scaling.is_external:
        raise ReplayError(
            "spec.scaling.class is not atheria: somebody else decides, and Atheria cannot replay that"
        )
    return intent.scaling


def slots_of(policy: ScalingPolicy, given: int) -> int:
    """Calls that a pod works on at once: as given, or the target where that counts calls. Raises ReplayError."""
    if given:
        return given
    if policy.metric in (ScalingMetric.QUEUE_DEPTH, ScalingMetric.CONCURRENCY):
        return max(1, int(policy.target_calls))
    raise ReplayError(
        f"spec.scaling.metric is {policy.metric.value}, whose target says nothing of slots: give --slots, the calls that a pod works on "
        "at once"
    )


def alternatives(policy: ScalingPolicy) -> Mapping[str, ScalingPolicy]:
    """The settings as given first, then each with one field changed, in the words of the API."""
    found = {GIVEN: policy}

    def offer(name: str, **fields: Any) -> None:
        other = replace(policy, **fields)
        if other != policy:
            found[name] = other

    if policy.min_replicas == 0:
        offer("minReplicas 1", min_replicas=1)
    else:
        offer("minReplicas 0", min_replicas=0)
    offer(f"maxReplicas {2 * policy.max_replicas}", max_replicas=2 * policy.max_replicas)
    half = max(1, policy.target_calls // 2)
    offer(f"target {half:g}", target_calls=half)
    offer(f"target {2 * policy.target_calls:g}", target_calls=2 * policy.target_calls)
    for seconds in (policy.idle_timeout_seconds / 4, policy.idle_timeout_seconds * 4):
        offer(f"idleTimeout {seconds:g}s", idle_timeout_seconds=seconds)
    for seconds in (policy.scale_down_delay_seconds / 4, policy.scale_down_delay_seconds * 4):
        offer(f"scaleDownDelay {seconds:g}s", scale_down_delay_seconds=seconds)
    return found


def replay(
    calls: Sequence[Call],
    policy: ScalingPolicy,
    *,
    world: World,
    slo_seconds: float,
    usd_per_pod_hour: float | None = None,
    seed: int = 0,
) -> Comparison:
    """Every alternative, and fixed numbers of pods up to the maximum (at most four), on the calls."""
    settings = alternatives(policy)
    # Each setting has a bound of its own; the world's must let them all.
    most = max(one.max_replicas for one in settings.values())
    policies: list[MakePolicy] = [
        partial(AtheriaPolicy, policy=one, name=name, usd_per_pod_hour=usd_per_pod_hour)
        for name, one in settings.items()
    ]
    policies += [
        partial(Fixed, replicas=replicas) for replicas in range(1, min(_MOST_FIXED, policy.max_replicas) + 1)
    ]
    return compare(
        [calls],
        world=replace(world, max_replicas=most),
        policies=policies,
        slo_seconds=slo_seconds,
        seed=seed,
    )
