"""Who is held, and who may still be: the state of calls that wait for a model at zero.

The activator's Check handler calls admit before it waits and leave in every case afterwards.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from atheria_gateway.core.model import Model, ModelKey

CALL_BYTES_LARGEST: Final = 900 * 1024
"""What Envoy keeps at most of one held call; its stream windows bound it (xds/clusters.py)."""
CALL_BYTES_SMALLEST: Final = 112 * 1024
"""What Envoy takes for a held call with a small body (measured): two streams and a question to the activator."""
RETRY_FULL_S: Final = 1.0
"""When a refused caller may try again where no better time is known."""


class Refusal(StrEnum):
    """Why a call is not held."""

    UNKNOWN_MODEL = "unknown_model"
    MODEL_FULL = "model_full"
    GATEWAY_FULL = "gateway_full"
    CALLER_FULL = "caller_full"
    BYTES_FULL = "bytes_full"
    DEADLINE = "deadline"
    TIMED_OUT = "timed_out"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A refusal with the sentence that the caller reads."""

    refusal: Refusal
    message: str
    retry_after_s: float | None = None
    """When trying again may succeed, seconds from now; None when it would not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One held call: give it back to leave."""

    number: int
    model: ModelKey
    since_s: float
    caller: str = ""
    reserved_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class HoldQueue:
    """Held calls by model, bounded in all by number and by bytes in Envoy, by each model's limit, and for each caller."""

    total_limit: int
    bytes_limit: int | None = None
    """Bytes of held calls in Envoy; None without a bound."""
    caller_share: float = 1.0
    """Part of the places, of a model and of the gateway, that one caller may have; 1 without a bound."""
    measured_bytes: int = 0
    """What held calls take in Envoy as last measured; the activator writes it."""
    _held: dict[ModelKey, dict[int, Ticket]] = field(default_factory=dict)
    _by_caller: dict[str, int] = field(default_factory=dict)
    _by_caller_and_model: dict[tuple[str, ModelKey], int] = field(default_factory=dict)
    _reserved_bytes: int = 0
    last_number: int = 0
    """Number of the ticket before the first: processes that follow each other begin at different ones."""
    _total: int = 0

    def admit(
        self,
        key: ModelKey,
        model: Model | None,
        now_s: float,
        *,
        caller: str = "",
        body_bytes: int | None = None,
    ) -> Ticket | Denial:
        """Take a place for one call, or say why there is none.

        `now_s` is a monotonic time in seconds; `caller` is empty when unknown, which has no share; `body_bytes` is the
        length that the caller declared.
        """
        if model is None:
            return Denial(refusal=Refusal.UNKNOWN_MODEL, message=f"model {key} does not exist (any more)")
        reserved = min(CALL_BYTES_LARGEST, CALL_BYTES_SMALLEST + 2 * (body_bytes or 0))
        denial = self._full(key, model) or self._caller_full(key, model, caller) or self._bytes_full(reserved)
        if denial is not None:
            return denial
        self.last_number += 1
        self._total += 1
        ticket = Ticket(
            number=self.last_number, model=key, since_s=now_s, caller=caller, reserved_bytes=reserved
        )
        self._held.setdefault(key, {})[ticket.number] = ticket
        self._reserved_bytes += reserved
        if caller:
            self._by_caller[caller] = self._by_caller.get(caller, 0) + 1
            both = (caller, key)
            self._by_caller_and_model[both] = self._by_caller_and_model.get(both, 0) + 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Free the place of a call that was released, refused or cancelled; a second time does nothing."""
        waiting = self._held.get(ticket.model)
        if waiting is None or waiting.pop(ticket.number, None) is None:
            return
        self._total -= 1
        self._reserved_bytes -= ticket.reserved_bytes
        if not waiting:
            del self._held[ticket.model]
        if ticket.caller:
            _less(self._by_caller, ticket.caller)
            _less(self._by_caller_and_model, (ticket.caller, ticket.model))

    def held(self, key: ModelKey) -> int:
        """Calls held for one model."""
        return len(self._held.get(key, ()))

    @property
    def total(self) -> int:
        """Calls held in all."""
        return self._total

    @property
    def bytes_in_use(self) -> int:
        """Bytes that held calls take in Envoy: those reserved, or more where more were measured."""
        return max(self._reserved_bytes, self.measured_bytes)

    def waiting_models(self) -> tuple[ModelKey, ...]:
        """Models with at least one held call."""
        return tuple(self._held)

    def oldest_s(self, key: ModelKey, now_s: float) -> float:
        """Age of a model's oldest held call in seconds; 0 when none is held."""
        waiting = self._held.get(key)
        if not waiting:
            return 0.0
        return max(0.0, now_s - next(iter(waiting.values())).since_s)

    def _full(self, key: ModelKey, model: Model) -> Denial | None:
        if self._total >= self.total_limit:
            return Denial(
                refusal=Refusal.GATEWAY_FULL,
                message=f"the gateway holds {self._total} calls, allowed are {self.total_limit}: try again later",
                retry_after_s=RETRY_FULL_S,
            )
        waiting = len(self._held.get(key, ()))
        if waiting >= model.queue_limit:
            return Denial(
                refusal=Refusal.MODEL_FULL,
                message=(
                    f"{waiting} calls already wait for model {key}, allowed are {model.queue_limit} "
                    "(spec.concurrency.maxQueueDepth): try again later"
                ),
                retry_after_s=RETRY_FULL_S,
            )
        return None

    def _caller_full(self, key: ModelKey, model: Model, caller: str) -> Denial | None:
        if not caller:
            return None
        for held, limit, where in (
            (self._by_caller_and_model.get((caller, key), 0), model.queue_limit, f"for model {key}"),
            (self._by_caller.get(caller, 0), self.total_limit, "at this gateway"),
        ):
            allowed = max(1, int(limit * self.caller_share))
            if held >= allowed:
                return Denial(
                    refusal=Refusal.CALLER_FULL,
                    message=(
                        f"{held} of your calls already wait {where}, allowed to one caller are {allowed} of {limit} "
                        f"(gateway.hold.callerShare {self.caller_share:g}): try again later"
                    ),
                    retry_after_s=RETRY_FULL_S,
                )
        return None

    def _bytes_full(self, reserved: int) -> Denial | None:
        if self.bytes_limit is None or self.bytes_in_use + reserved <= self.bytes_limit:
            return None
        return Denial(
            refusal=Refusal.BYTES_FULL,
            message=(
                f"held calls take {self.bytes_in_use} bytes in the gateway, this one up to {reserved} more, allowed are "
                f"{self.bytes_limit} (gateway.hold.maxBytes): try again later"
            ),
            retry_after_s=RETRY_FULL_S,
        )


def _less(counts: dict[Any, int], key: Hashable) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def handed_back(key: ModelKey, ready_pods: int | None) -> Denial:
    """The refusal of a call that waits, or comes, where the gateway's pod ends: its successor holds it.

    `ready_pods` is None before the cluster is listed; with some of them the pods are full, or failed when the call was tried.
    """
    why = ""
    if ready_pods is not None:
        has_pods = f"no ready pod of model {key} has taken this call"
        why = f", and {has_pods if ready_pods else f'model {key} has no ready pod'}"
    return Denial(
        refusal=Refusal.DRAINING,
        message=f"this gateway pod ends{why}: call again, another gateway pod takes the call",
        retry_after_s=RETRY_FULL_S,
    )


def hold_timeout(model: Model | None, key: ModelKey, limit_s: float, ready_pods: int = 0) -> Denial:
    """The refusal of a call that waited `limit_s` seconds for a pod, or for one with room, with the model's phase."""
    if ready_pods:
        return Denial(
            refusal=Refusal.TIMED_OUT,
            message=(
                f"the {ready_pods} ready pods of model {key} had no room for {limit_s:g} s: raise scaling.maxReplicas, or "
                "call less often"
            ),
            retry_after_s=RETRY_FULL_S,
        )
    phase = (model.phase if model else "") or "unknown"
    reason = f": {model.reason}" if model and model.reason else ""
    return Denial(
        refusal=Refusal.TIMED_OUT,
        message=(
            f"model {key} had no ready pod for {limit_s:g} s; its phase is {phase}{reason}. "
            f"See kubectl describe atheriamodel {key.name} -n {key.namespace}"
        ),
    )
