"""What a scaling decision sees: numbers of pods, what the gateways say, what a start takes. Made by the scaling loop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from atheria_operator.domain.scaling.backlog import ASSUMED_COLD_START_SECONDS, Fleet
from atheria_operator.domain.scaling.demand import Demand


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
    starting_ages_seconds: tuple[float, ...] = ()
    """Age of each pod that has a node and does not answer yet; pods asked for that do not exist yet are left out."""
    unschedulable_replicas: int = 0
    """Pods that the scheduler has found no node for."""
    cold_start_seconds: float | None = None
    """From a pod's creation to ready, of the last measured start; None = not measured."""
    usd_per_pod_hour: float | None = None
    """Price of a pod; None = unknown."""
    wall_time: datetime | None = None
    """Aware; for the schedule only. None = the schedule is not looked at."""

    @property
    def current(self) -> int:
        """The higher of both: whoever raised one of them is respected."""
        return max(self.requested_replicas, self.actual_replicas)

    @property
    def fleet(self) -> Fleet:
        """Pods that work or will; those that find no node do not count, those that do not exist yet begin now."""
        missing = (
            self.current - self.ready_replicas - self.unschedulable_replicas - len(self.starting_ages_seconds)
        )
        cold = self.cold_start_seconds
        return Fleet(
            ready=self.ready_replicas,
            starting_ages_seconds=(*self.starting_ages_seconds, *([0.0] * max(0, missing))),
            cold_start_seconds=ASSUMED_COLD_START_SECONDS if cold is None else cold,
        )
