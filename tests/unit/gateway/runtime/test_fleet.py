"""However many pages ask, the figures are made a few times a second."""

from __future__ import annotations

import json

from atheria_gateway.core.fleet import Fleet
from atheria_gateway.runtime.fleet import PERIOD_S, FleetPage


def test_many_questions_within_a_period_are_one_rendering() -> None:
    now_s = 100.0
    looks: list[float] = []

    def look() -> Fleet:
        looks.append(now_s)
        return Fleet(unix_s=now_s, pod="p", gateways=1, is_ready=True, models={}, calls={})

    page = FleetPage(look, lambda: now_s)
    first = page.body()
    assert {page.body() for _ in range(1000)} == {first}
    assert looks == [100.0]
    assert json.loads(first)["models"] == []
    now_s += PERIOD_S
    assert page.body() != first
    assert looks == [100.0, now_s]
