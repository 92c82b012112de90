"""What other autoscalers are told of each model: the scaling loops write, the adapters that answer them read.

All in the loop of the operator: an adapter with a thread of its own asks through `call_soon_threadsafe`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.interop.offer import Offer, is_active, value_of
from atheria_operator.runtime.ports import Clock, DemandSource


class Offers:
    """The last offer of each model that another autoscaler decides about."""

    def __init__(self) -> None:
        """Empty."""
        self._offers: dict[ModelKey, Offer] = {}
        self._listeners: dict[ModelKey, list[Callable[[], None]]] = {}

    def get(self, key: ModelKey) -> Offer | None:
        """The last one; None while nothing is known or nobody else decides."""
        return self._offers.get(key)

    def put(self, key: ModelKey, offer: Offer | None) -> None:
        """Replace it, and tell who listens."""
        if offer is None:
            self._offers.pop(key, None)
        else:
            self._offers[key] = offer
        for listener in tuple(self._listeners.get(key, ())):
            listener()

    @contextmanager
    def listening(self, key: ModelKey, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` at every look at the model; it must not fail."""
        self._listeners.setdefault(key, []).append(wake)
        try:
            yield
        finally:
            self._listeners[key].remove(wake)
            if not self._listeners[key]:
                del self._listeners[key]


class OfferReader:
    """Answers from the offers and from what the gateways say at this moment."""

    def __init__(self, offers: Offers, demand: DemandSource, clock: Clock) -> None:
        """All as the scaling loops have them."""
        self.offers = offers
        self._demand = demand
        self._clock = clock

    def value(self, key: ModelKey) -> tuple[str, float]:
        """The metric's name and value. Raises NoReading."""
        return value_of(self.offers.get(key), self._demand.demand(key))

    def now(self) -> str:
        """RFC 3339 in UTC."""
        return self._clock.now()

    def is_active(self, key: ModelKey) -> bool:
        """Whether the model is called. Raises NoReading."""
        return is_active(self.offers.get(key), self._demand.demand(key), self._clock.monotonic_seconds())
