"""Who is held, and who may still be: the state of calls that wait for a model at zero.

The activator's Check handler calls admit before it waits and leave in every case afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from atheria_gateway.core.model import Model, ModelKey


class Refusal(StrEnum):
    """Why a call is not held."""

    UNKNOWN_MODEL = "unknown_model"
    MODEL_FULL = "model_full"
    GATEWAY_FULL = "gateway_full"
    TIMED_OUT = "timed_out"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A refusal with the sentence that the caller reads."""

    refusal: Refusal
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One held call: give it back to leave."""

    number: int
    model: ModelKey
    since_s: float


@dataclass(slots=True, kw_only=True)
class HoldQueue:
    """Held calls by model, bounded by `total_limit` calls in all and by each model's own limit."""

    total_limit: int
    _held: dict[ModelKey, dict[int, Ticket]] = field(default_factory=dict)
    _next: int = 0
    _total: int = 0

    def admit(self, key: ModelKey, model: Model | None, now_s: float) -> Ticket | Denial:
        """Take a place for one call, or say why there is none. `now_s` is a monotonic time in seconds."""
        if model is None:
            return Denial(refusal=Refusal.UNKNOWN_MODEL, message=f"model {key} does not exist (any more)")
        if self._total >= self.total_limit:
            return Denial(
                refusal=Refusal.GATEWAY_FULL,
                message=f"the gateway holds {self._total} calls, allowed are {self.total_limit}: try again later",
            )
        waiting = len(self._held.get(key, ()))
        if waiting >= model.queue_limit:
            return Denial(
                refusal=Refusal.MODEL_FULL,
                message=(
                    f"{waiting} calls already wait for model {key}, allowed are {model.queue_limit} "
                    "(spec.concurrency.maxQueueDepth): try again later"
                ),
            )
        self._next += 1
        self._total += 1
        ticket = Ticket(number=self._next, model=key, since_s=now_s)
        self._held.setdefault(key, {})[ticket.number] = ticket
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Free the place of a call that was released, refused or cancelled; a second time does nothing."""
        waiting = self._held.get(ticket.model)
        if waiting is None or waiting.pop(ticket.number, None) is None:
            return
        self._total -= 1
        if not waiting:
            del self._held[ticket.model]

    def held(self, key: ModelKey) -> int:
        """Calls held for one model."""
        return len(self._held.get(key, ()))

    @property
    def total(self) -> int:
        """Calls held in all."""
        return self._total

    def waiting_models(self) -> tuple[ModelKey, ...]:
        """Models with at least one held call."""
        return tuple(self._held)

    def oldest_s(self, key: ModelKey, now_s: float) -> float:
        """Age of a model's oldest held call in seconds; 0 when none is held."""
        waiting = self._held.get(key)
        if not waiting:
            return 0.0
        return max(0.0, now_s - next(iter(waiting.values())).since_s)


def hold_timeout(model: Model | None, key: ModelKey, limit_s: float) -> Denial:
    """The refusal of a call that waited `limit_s` seconds without a ready pod, with the model's phase."""
    phase = (model.phase if model else "") or "unknown"
    reason = f": {model.reason}" if model and model.reason else ""
    return Denial(
        refusal=Refusal.TIMED_OUT,
        message=(
            f"model {key} had no ready pod for {limit_s:g} s; its phase is {phase}{reason}. "
            f"See kubectl describe atheriamodel {key.name} -n {key.namespace}"
        ),
    )
