"""How many held calls may be in the pods at once: a backlog goes on in step with capacity, never all to the first pod.

The activator counts a call from its release to the end that Envoy reports (runtime/call_log_service.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from atheria_gateway.core.model import Model, ModelKey

BATCHES_PER_WORKER: Final = 4
"""One is computed, one is ready to follow, and two cover the way of a report from Envoy to the activator."""
PATIENCE_S: Final = 2.0
"""After so long without an end of a call, another portion goes on: long streams must not stop everyone behind them."""


def capacity(model: Model, ready_pods: int, gateways: int = 1) -> int:
    """Released calls of one of `gateways` that the model's ready pods may have at once.

    They share the room equally, though each keeps one batch for every worker: of a few calls no batch comes.
    """
    batches = ready_pods * max(1, model.workers) * max(1, model.batch_size)
    return max(batches, batches * BATCHES_PER_WORKER // max(1, gateways))


@dataclass(slots=True, kw_only=True)
class Pace:
    """Released calls that have not ended, by model. Times are monotonic seconds."""

    _open: dict[ModelKey, set[int]] = field(default_factory=dict)
    _model_of: dict[int, ModelKey] = field(default_factory=dict)
    _moved_s: dict[ModelKey, float] = field(default_factory=dict)

    def may_release(self, key: ModelKey, limit: int, now_s: float) -> bool:
        """Whether one more call may go on, with `limit` from `capacity`."""
        running = self._open.get(key)
        if limit <= 0 or running is None or len(running) < limit:
            return limit > 0
        if now_s - self._moved_s.get(key, now_s) < PATIENCE_S:
            return False
        self._forget(key)
        return True

    def released(self, key: ModelKey, ticket: int, now_s: float) -> None:
        """A call went on."""
        if key not in self._open:
            self._open[key] = set()
        self._open[key].add(ticket)
        self._model_of[ticket] = key
        self._moved_s[key] = now_s

    def ended(self, ticket: int, now_s: float) -> ModelKey | None:
        """A released call ended; returns its model, None for one that does not count (any more)."""
        key = self._model_of.pop(ticket, None)
        if key is None:
            return None
        self._moved_s[key] = now_s
        running = self._open[key]
        running.discard(ticket)
        if not running:
            del self._open[key]
            del self._moved_s[key]
        return key

    def running(self, key: ModelKey) -> int:
        """Released calls that have not ended."""
        return len(self._open.get(key, ()))

    def _forget(self, key: ModelKey) -> None:
        for ticket in self._open.pop(key, set()):
            self._model_of.pop(ticket, None)
        self._moved_s.pop(key, None)
