"""What a policy sees and says: one protocol for Atheria's decision and for everybody else's. The engine calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFigures:
    """What one gateway counts."""

    held: int
    """Calls that wait because no pod is ready."""
    in_flight: int
    """Calls in a slot, or waiting for one while pods are ready."""
    arrivals_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the gateways report: each second, and at once when the first call comes or the last one is done."""

    seconds: float
    gateways: tuple[GatewayFigures | None, ...]
    """None = this gateway is silent."""
    mean_calls: float
    """Calls in the system, averaged over the time since the last sample."""
    span_seconds: float
    """Since the last sample; 0 for an edge at the same instant."""
    first_token_seconds: tuple[float, ...]
    """Wait and time to the first token of the calls that got a slot since the last sample."""

    @property
    def calls(self) -> int:
        """Calls held and in flight, of the gateways that speak."""
        return sum(one.held + one.in_flight for one in self.gateways if one is not None)

    @property
    def arrivals_total(self) -> int:
        """Calls that ever came, as the gateways that speak count them."""
        return sum(one.arrivals_total for one in self.gateways if one is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The pods as the API server shows them."""

    requested: int
    ready: int
    starting_ages_seconds: tuple[float, ...] = ()
    """Since their creation, of the pods that are not ready yet."""
    last_start_seconds: float | None = None
    """How long the start took that ended last; None before the first."""

    @property
    def provisioned(self) -> int:
        """Pods that are ready or starting."""
        return self.ready + len(self.starting_ages_seconds)


class Policy(Protocol):
    """Decides how many pods there should be. Holds its own memory; `restart` loses it."""

    @property
    def name(self) -> str:
        """In tables."""
        ...

    @property
    def first_replicas(self) -> int:
        """Pods that are ready when the record begins: as after a long time without a call."""
        ...

    @property
    def tick_seconds(self) -> float:
        """Time between two decisions."""
        ...

    def see(self, sample: Sample) -> None:
        """A report has come."""
        ...

    def decide(self, fleet: Fleet, now_seconds: float) -> int:
        """Pods wanted now."""
        ...

    def wake(self, fleet: Fleet, now_seconds: float) -> int:
        """Pods wanted at the first call that finds none requested; the sample with it has been seen."""
        ...

    def restart(self) -> None:
        """The program that decides was started anew: whatever it remembered is gone."""
        ...
