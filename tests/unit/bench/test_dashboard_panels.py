"""What is sent to Prometheus for a panel, and which answers make no sense."""

from __future__ import annotations

import math

import pytest

from bench.dashboards.panels import Asked, complaint, filled, queries

VARIABLES = {"__rate_interval": "4s", "model": "m", "model_name": "n"}


def asked(query: str = "a", lowest: float | None = 0, highest: float | None = 1) -> Asked:
    """A query of some panel."""
    return Asked(board="b", panel="p", query=query, is_instant=False, lowest=lowest, highest=highest)


def test_variables_are_filled_in_the_longest_first() -> None:
    query = 'rate(a{m=~"$model", n="$model_name"}[$__rate_interval])'
    assert filled(query, VARIABLES) == 'rate(a{m=~"m", n="n"}[4s])'


def test_the_group_of_a_label_replace_is_no_variable() -> None:
    query = 'label_replace(a, "b", "$1", "c", "(.+)")'
    assert filled(query, VARIABLES) == query


def test_a_variable_that_nobody_gives_is_named() -> None:
    with pytest.raises(ValueError, match="nobody"):
        filled('a{b="$nobody"}', VARIABLES)


def test_each_query_of_a_panel_is_asked_with_the_bounds_of_its_values() -> None:
    panel = {
        "title": "P",
        "fieldConfig": {"defaults": {"min": 0, "max": 100}},
        "targets": [{"expr": "a", "instant": True}, {"expr": "b"}],
    }
    found = list(queries({"uid": "u", "panels": [{"title": "row", "type": "row"}, panel]}, VARIABLES))
    assert [(one.query, one.is_instant, one.highest) for one in found] == [
        ("a", True, 100),
        ("b", False, 100),
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no data"),
        ([math.nan], "no data"),
        ([0.5, math.nan], ""),
        ([math.inf], "infinite"),
        ([-1.0], "-1 is below 0"),
        ([0.5, 2.0], "2 is above 1"),
    ],
)
def test_an_answer_is_complained_of_when_it_is_empty_infinite_or_out_of_bounds(
    values: list[float], words: str
) -> None:
    assert complaint(asked(), [({}, values)] if values else []) == words


def test_without_a_gpu_its_metrics_may_be_absent() -> None:
    assert complaint(asked("DCGM_FI_DEV_GPU_UTIL"), []) == ""
