"""Pods that said themselves that they are awake, before their readiness probe has: they count at once, for a while.

A kubelet asks once a second and the EndpointSlice follows later; a call that woke a pod need not wait for either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from atheria_gateway.core.endpoints import Endpoint, PodSlice
from atheria_gateway.core.model import ModelKey

COUNTS_S: Final = 10.0
"""A pod whose readiness has not followed by then is not counted any more."""


@dataclass(slots=True, kw_only=True)
class Roused:
    """Pods by model, and until when they count; monotonic seconds."""

    _until_s: dict[ModelKey, dict[Endpoint, float]] = field(default_factory=dict)

    def add(self, key: ModelKey, endpoint: Endpoint, now_s: float) -> None:
        """The pod has answered that it is awake and ready."""
        self._until_s.setdefault(key, {})[endpoint] = now_s + COUNTS_S

    def seen(self, one: PodSlice) -> None:
        """A slice as it is now: of a pod that it calls ready itself it alone counts from here on."""
        known = self._until_s.get(one.model)
        if known is None:
            return
        for endpoint in [endpoint for endpoint in known if endpoint in one.endpoints]:
            del known[endpoint]
        if not known:
            del self._until_s[one.model]

    def expire(self, now_s: float) -> bool:
        """Forget pods whose time is over; whether there were any."""
        over = [
            (key, endpoint)
            for key, known in self._until_s.items()
            for endpoint, until_s in known.items()
            if until_s <= now_s
        ]
        for key, endpoint in over:
            del self._until_s[key][endpoint]
            if not self._until_s[key]:
                del self._until_s[key]
        return bool(over)

    def counted(self, key: ModelKey, slices: Iterable[PodSlice]) -> Iterator[PodSlice]:
        """The slices with the roused pods among the ready ones, as long as they list them."""
        known = self._until_s.get(key, {})
        for one in slices:
            if roused := [endpoint for endpoint in one.unready if endpoint in known]:
                yield replace(
                    one,
                    endpoints=tuple(sorted((*one.endpoints, *roused))),
                    unready=tuple(endpoint for endpoint in one.unready if endpoint not in known),
                )
            else:
                yield one
