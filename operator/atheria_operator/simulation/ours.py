"""Atheria's own policy in the simulator: the operator's reports, sum of demand and decision, called as the operator calls them.

Nothing is decided here: gateways' figures become Report, reports become Demand by `demand_of`, and `decide` gets what
runtime/scaler.py would give it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from atheria_operator.api.model import ModelKey, ScalingPolicy
from atheria_operator.domain.scaling.decide import decide
from atheria_operator.domain.scaling.demand import Calls, Report, demand_of
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState
from atheria_operator.simulation.policy import Fleet, Sample

_MODEL: Final = ModelKey(namespace="default", name="model")
_TICK_SECONDS: Final = 1.0
"""As runtime/scaler.py has it."""


@dataclass(slots=True, kw_only=True)
class AtheriaPolicy:
    """`decide` with its memory and the last report of each gateway."""

    policy: ScalingPolicy
    name: str = "Atheria"
    first_replicas: int = 0
    usd_per_pod_hour: float | None = None
    _is_at_rest: bool = False
    """There are as few pods as may be and no call: it does not look until one comes, as runtime/scaler.py. So the first call after a pause
    is a rate of one over the pause, not of one a second."""
    _reports: dict[str, Report] = field(default_factory=dict)
    _state: ScalingState = field(default_factory=ScalingState)

    @property
    def tick_seconds(self) -> float:
        """As the operator."""
        return _TICK_SECONDS

    def see(self, sample: Sample) -> None:
        """Keep the last report of each gateway that speaks."""
        for index, figures in enumerate(sample.gateways):
            if figures is None:
                continue
            if figures.held or figures.in_flight:
                self._is_at_rest = False
            gateway = f"gateway-{index}"
            calls = Calls(
                held=figures.held, in_flight=figures.in_flight, arrivals_total=figures.arrivals_total
            )
            self._reports[gateway] = Report(
                gateway=gateway, received_seconds=sample.seconds, calls={_MODEL: calls}
            )

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """The operator's decision."""
        if self._is_at_rest:
            return fleet.requested
        demand = demand_of(_MODEL, self._reports.values(), now_seconds)
        self._state, decision = decide(
            self._state,
            Observation(
                requested_replicas=fleet.requested,
                actual_replicas=fleet.requested,
                ready_replicas=fleet.ready,
                demand=demand,
                starting_ages_seconds=fleet.starting_ages_seconds,
                cold_start_seconds=fleet.last_start_seconds,
                usd_per_pod_hour=self.usd_per_pod_hour,
            ),
            self.policy,
            now_seconds,
        )
        is_quiet = demand is None or demand.calls == 0
        self._is_at_rest = is_quiet and decision.replicas <= self.policy.min_replicas
        return decision.replicas

    def wake(self, fleet: Fleet, now_seconds: float) -> int:
        """The gateway asks for one pod; the operator decides at once on what the gateway then reports."""
        self._is_at_rest = False
        woken = Fleet(
            requested=max(1, fleet.requested),
            ready=fleet.ready,
            starting_ages_seconds=fleet.starting_ages_seconds,
            last_start_seconds=fleet.last_start_seconds,
        )
        return max(1, self.decide(woken, now_seconds))

    def restart(self) -> None:
        """Memory and reports are gone."""
        self._reports.clear()
        self._is_at_rest = False
        self._state = ScalingState()
