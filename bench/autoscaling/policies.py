"""Everybody who is compared, with the same target: the slots of a pod. Asked by the command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.simulation.compare import SLO_SECONDS, MakePolicy
from atheria_operator.simulation.fixed import Fixed
from atheria_operator.simulation.ours import AtheriaPolicy
from atheria_operator.simulation.world import World
from bench.autoscaling.baselines.aibrix import Apa
from bench.autoscaling.baselines.hpa import Hpa
from bench.autoscaling.baselines.keda import Keda
from bench.autoscaling.baselines.kpa import Kpa, KpaSpec
from bench.autoscaling.baselines.kubeai import KubeAi
from bench.autoscaling.baselines.llmd import LlmD

OURS: Final = "Atheria"
KPA: Final = "Knative KPA"
OTHER_TARGETS: Final = (0.75, 1.5)
"""Of the slots: what a user can choose between cost and lateness."""


def policies(world: World, *, fixed: int) -> Sequence[MakePolicy]:
    """Atheria with the defaults of its API and at two other targets, the others with theirs, and 1 to `fixed` pods."""
    slots = world.slots_per_pod
    ours = ScalingPolicy(max_replicas=world.max_replicas, target_calls=slots)
    return [
        partial(AtheriaPolicy, policy=ours, name=OURS),
        *(
            partial(
                AtheriaPolicy, policy=replace(ours, target_calls=target), name=f"{OURS}, target {target:g}"
            )
            for target in (slots * share for share in OTHER_TARGETS)
        ),
        partial(Kpa, spec=KpaSpec(container_concurrency=slots), name=KPA),
        partial(Hpa, target=slots),
        partial(Keda, target=slots),
        partial(KubeAi, target=slots),
        partial(Apa, target=slots),
        partial(LlmD, slo_seconds=SLO_SECONDS),
        *(partial(Fixed, replicas=replicas) for replicas in range(1, fixed + 1)),
    ]
