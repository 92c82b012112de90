"""A fixed number of pods: what a Deployment without an autoscaler does. Compared with in replay and the benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atheria_operator.simulation.policy import Fleet, Sample

FIXED_PREFIX: Final = "fixed "


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """Always `replicas`, ready from the start."""

    replicas: int
    tick_seconds: float = 60.0

    @property
    def name(self) -> str:
        """In tables."""
        return f"{FIXED_PREFIX}{self.replicas}"

    @property
    def first_replicas(self) -> int:
        """All of them."""
        return self.replicas

    def see(self, sample: Sample) -> None:
        """Nothing to learn."""

    def decide(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """The number."""
        return self.replicas

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """The number."""
        return self.replicas

    def restart(self) -> None:
        """Nothing to lose."""
