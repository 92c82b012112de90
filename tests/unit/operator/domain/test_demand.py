"""Reports of gateways to one demand."""

from __future__ import annotations

from atheria_operator.api.model import ModelKey
from atheria_operator.domain.scaling.demand import Calls, Demand, Report, demand_of

KEY = ModelKey(namespace="demo", name="qca")


def report(gateway: str, received: float, **calls: int) -> Report:
    return Report(gateway=gateway, received_seconds=received, calls={KEY: Calls(**calls)})


def test_calls_of_all_gateways_add_up() -> None:
    reports = [
        report("a", 10, held=1, in_flight=2, arrivals_total=3),
        report("b", 11, held=4, in_flight=5, arrivals_total=6),
    ]
    assert demand_of(KEY, reports, 12) == Demand(held=5, in_flight=7, arrivals_total=9, is_complete=True)


def test_without_a_fresh_report_that_knows_the_model_nothing_is_known() -> None:
    assert demand_of(KEY, [], 0) is None
    assert demand_of(KEY, [report("a", 0)], 3.1) is None
    assert demand_of(ModelKey(namespace="demo", name="other"), [report("a", 0)], 1) is None


def test_a_gateway_that_does_not_speak_of_a_model_does_not_say_that_it_has_no_calls() -> None:
    silent = Report(gateway="b", received_seconds=10, calls={})
    seen = demand_of(KEY, [report("a", 10, held=1), silent], 10)
    assert seen is not None
    assert (seen.calls, seen.is_complete) == (1, False)


def test_a_gateway_gone_silent_leaves_the_demand_incomplete_until_it_is_forgotten() -> None:
    reports = [report("a", 100), report("b", 96)]
    seen = demand_of(KEY, reports, 100)
    assert seen is not None
    assert not seen.is_complete
    later = demand_of(KEY, [report("a", 130), report("b", 96)], 130)
    assert later is not None
    assert later.is_complete
