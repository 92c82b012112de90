"""Which pods go first: the idlest, and never one whose load is unknown before one that is idle."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract import names
from atheria_operator.domain.scaling.deletion_cost import calls_in_metrics, cost_of, deletion_costs, is_ours

LOADS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2), st.none() | st.integers(0, 5), max_size=8
)


def test_the_idlest_pods_get_the_lowest_costs_and_the_others_none() -> None:
    assert deletion_costs({"a": 3, "b": 0, "c": 1, "d": 9}, 2) == {"b": -2, "c": -1}


def test_of_equally_idle_pods_the_last_one_goes() -> None:
    assert deletion_costs({"old": 0, "new": 0, "busy": 2}, 1) == {"new": -1}


def test_where_any_choice_is_as_good_nothing_is_written() -> None:
    assert deletion_costs({"a": 0, "b": 0, "c": 0}, 2) == {}
    assert deletion_costs({"a": 4, "b": 4}, 1) == {}
    assert deletion_costs({}, 1) == {}
    assert deletion_costs({"a": None, "b": None}, 1) == {}
    assert deletion_costs({"a": 1, "b": 0}, 0) == {}


def test_a_pod_that_does_not_answer_is_taken_for_a_busy_one() -> None:
    assert deletion_costs({"silent": None, "idle": 0}, 1) == {"idle": -1}
    assert deletion_costs({"silent": None, "busy": 5, "less": 4}, 1) == {"less": -1}


def test_when_others_go_before_them_the_busiest_pod_still_goes_last() -> None:
    # Of five pods two are not ready: they go first, but may have become ready by then.
    assert deletion_costs({"a": 2, "b": 0, "c": 1}, 4) == {"b": -2, "c": -1}


@given(LOADS, st.integers(0, 9))
def test_whoever_goes_has_no_more_in_flight_than_whoever_stays(
    loads: dict[str, int | None], going: int
) -> None:
    costs = deletion_costs(loads, going)
    assert len(costs) <= max(0, min(going, len(loads) - 1))
    for goes, cost in costs.items():
        assert cost < 0
        for stays in loads.keys() - costs.keys():
            mine, other = loads[goes], loads[stays]
            assert mine is not None or other != 0
            assert mine is None or other is None or mine <= other


@pytest.mark.parametrize(
    ("annotations", "cost"), [({}, None), ({"x": "1"}, None), ("-3", -3), ("7", 7), ("many", None)]
)
def test_the_cost_that_is_written_on_a_pod_is_read(annotations: Any, cost: int | None) -> None:
    written = annotations if isinstance(annotations, dict) else {names.ANNOTATION_DELETION_COST: annotations}
    assert cost_of({"metadata": {"annotations": written}}) == cost
    assert is_ours(cost) == (cost == -3)


VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a {b} c"} 2.0
vllm:num_requests_running{engine="1",model_name="a {b} c"} 1.0 1700000000000
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="a"} 4.0
vllm:num_requests_waiting_by_reason{engine="0"} 40.0
plain 0.25
"""


@pytest.mark.parametrize(
    ("series", "calls"),
    [
        (("vllm:num_requests_running", "vllm:num_requests_waiting"), 7),
        (("vllm:num_requests_running",), 3),
        (("plain",), 1),
        (("plain", "missing"), None),
        ((), 0),
    ],
)
def test_calls_in_flight_are_the_sum_of_all_samples_or_unknown(
    series: tuple[str, ...], calls: int | None
) -> None:
    assert calls_in_metrics(VLLM, series) == calls


@pytest.mark.parametrize("line", ["x", "x{", "x abc", "x NaN", "x +Inf", "x -1", 'x{a="1"}', "<html>"])
def test_what_is_no_number_of_calls_is_unknown(line: str) -> None:
    assert calls_in_metrics(f"{line}\n", ("x",)) is None
