"""What is simulated besides the policy: pods, starts, gateways and what goes wrong. Data for the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Queue(StrEnum):
    """Where calls wait while pods are ready and all slots are taken."""

    GATEWAY = "gateway"
    """In one queue, until any pod has a free slot."""
    PODS = "pods"
    """In the pod that had the fewest calls when they came; a pod that becomes ready later takes none of them."""


class FaultKind(StrEnum):
    """What may go wrong."""

    POD_CRASH = "podCrash"
    """The ready pod with the most calls dies; its calls are lost and its place is started anew."""
    AUTOSCALER_RESTART = "autoscalerRestart"
    GATEWAY_SILENT = "gatewaySilent"
    """One gateway serves, but its reports do not arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    seconds: float
    kind: FaultKind
    gateway: int = 0
    """Which one goes silent."""
    for_seconds: float = 0.0
    """How long it is silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The cluster around the policy; all policies get the same one."""

    slots_per_pod: int = 8
    """Calls that a pod works on at once; more wait in the queue."""
    queue: Queue = Queue.GATEWAY
    start_seconds: float = 30.0
    """From a created pod to a ready one."""
    start_spread: float = 0.1
    """Starts are uniform within start_seconds * (1 -+ this)."""
    starts_seconds: tuple[float, ...] = ()
    """Lengths of the first starts in order of creation, where they were measured; later ones are drawn."""
    first_replicas: int = 0
    """Pods that are ready when the record begins, where the policy does not keep more without a call."""
    max_replicas: int = 20
    actuation_seconds: float = 0.2
    """From a decision to created (or leaving) pods."""
    end_seconds: float = 0.0
    """How long a pod that was let go is there, and paid for, though it has no calls any more: it still accepts what is on its way."""
    report_seconds: float = 1.0
    report_delay_seconds: float = 0.05
    patience_seconds: float = 600.0
    """A call that has waited so long is lost."""
    gateways: int = 2
    tail_seconds: float = 300.0
    """Pods are paid for so long after the last arrival, whatever the policy: the price of not letting go shows."""
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for name in ("slots_per_pod", "max_replicas", "gateways"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 1")
        for name in (
            "start_seconds", "actuation_seconds", "end_seconds", "report_delay_seconds", "tail_seconds"
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: from 0")
        for name in ("report_seconds", "patience_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: above 0")
        if not 0 <= self.start_spread < 1:
            raise ValueError(f"start_spread is {self.start_spread}; allowed: from 0 to below 1")
