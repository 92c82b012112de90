"""Each rule of the bottleneck, and the advice that follows."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_server.core.batch_time import BatchTime
from atheria_server.core.bottleneck import Observed, find_bottleneck

GROWS = BatchTime(fixed_seconds=0.001, row_seconds=0.009, r_squared=1.0)
FIXED = BatchTime(fixed_seconds=0.009, row_seconds=0.001, r_squared=1.0)


def seen(**changes: Any) -> Observed:
    values: dict[str, Any] = {
        "stage_seconds": {"decode": 0.001, "validate": 0.0, "copy": 0.0, "device": 0.01, "encode": 0.0},
        "busy_share": 0.9,
        "launches": 100,
        "launch_seconds": 1e-6,
        "arithmetic_share": 0.8,
        "batch_time": GROWS,
    }
    return Observed(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "kind", "words", "advice"),
    [
        ({}, "compute", "80 % of the operations' time is matrix products", "narrower arithmetic"),
        ({"arithmetic_share": 0.2}, "memory", "80 % of the operations' time only moves values", "fuse"),
        ({"busy_share": 0.3}, "launch", "only 30 % of the model's time is computation", "larger batches"),
        (
            {"launches": 9000},
            "launch",
            "starting 9000 operations takes 90 % of the model's time",
            "compiled graphs",
        ),
        (
            {"batch_time": FIXED},
            "launch",
            "90 % of a single row's time does not depend on the row; a batch gains up to 10.0 times",
            "larger batches",
        ),
        (
            {"stage_seconds": {"decode": 0.03, "copy": 0.001, "device": 0.01}, "busy_share": 0.1},
            "preprocessing",
            "76 % of a call is spent outside the model, most of it in decode (73 %)",
            "do the work around the model once",
        ),
    ],
)
def test_the_first_rule_that_holds_is_the_verdict(changes, kind, words, advice):
    found = find_bottleneck(seen(**changes))
    assert found.kind == kind
    assert found.sentence.startswith(f"{kind}-bound: ")
    assert words in found.sentence
    assert advice in found.advice


def test_starting_never_takes_more_than_all_of_the_time():
    assert "takes 100 % of" in find_bottleneck(seen(launches=10**6)).sentence
