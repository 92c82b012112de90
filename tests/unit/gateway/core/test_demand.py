"""A model's demand from held calls and Envoy's counters."""

from __future__ import annotations

from atheria_gateway.core.demand import Demand, EnvoyCounters, demand_of
from atheria_gateway.core.hold import HoldQueue
from atheria_gateway.core.model import Model, ModelKey

QCA = Model(key=ModelKey(namespace="demo", name="qca"))
KERR = ModelKey(namespace="demo", name="kerr")


def test_calls_in_flight_are_envoys_active_calls_less_those_held() -> None:
    holds = HoldQueue(total_limit=10)
    holds.admit(QCA.key, QCA, 1.0)
    holds.admit(QCA.key, QCA, 2.0)
    counters = {QCA.key: EnvoyCounters(active_requests=5, arrivals_total=9)}
    assert demand_of((QCA.key, KERR), holds, counters, 4.0) == (
        Demand(model=QCA.key, held=2, in_flight=3, arrivals_total=9, oldest_held_s=3.0),
        Demand(model=KERR, held=0, in_flight=0, arrivals_total=0, oldest_held_s=0.0),
    )


def test_counters_older_than_a_held_call_make_no_negative_number() -> None:
    holds = HoldQueue(total_limit=10)
    holds.admit(QCA.key, QCA, 1.0)
    (line,) = demand_of((QCA.key,), holds, {}, 1.0)
    assert (line.held, line.in_flight) == (1, 0)
