"""The validation report: what passes, what fails, and a summary that fits into a status field."""

from __future__ import annotations

import json
import math

import pytest

from atheria_server.core.checklist import (
    SUMMARY_BYTES,
    Checklist,
    Line,
    checked,
    lines_of_quality,
    not_measurable,
)


def checklist(*lines: Line, **figures: float | str) -> Checklist:
    return Checklist(subject="m", lines=lines, figures=figures)


@pytest.mark.parametrize(
    ("value", "limit", "better", "result"),
    [
        (1.0, 1.0, "lower", "pass"),
        (1.1, 1.0, "lower", "fail"),
        (1.0, 1.0, "higher", "pass"),
        (0.9, 1.0, "higher", "fail"),
        (math.nan, 1.0, "lower", "fail"),
        (math.nan, 1.0, "higher", "fail"),
        (5.0, None, "lower", "told"),
    ],
)
def test_a_line_is_judged_by_its_limit(value, limit, better, result):
    assert checked("x", value, limit, better=better).result == result


def test_one_failing_line_fails_the_report_and_an_absent_one_does_not():
    absent = not_measurable("joules", "no GPU")
    assert checklist(checked("a", 1, 2), absent).passed
    failing = checklist(checked("a", 1, 2), checked("b", 3, 2), absent)
    assert not failing.passed
    assert failing.failed == ["b"]
    text = failing.markdown()
    assert "**failed: b**" in text
    assert "| joules | - | - | n/a | no GPU |" in text
    assert "| b | 3 | ≤ 2 | fail |  |" in text


def test_the_json_is_json_even_of_numbers_that_are_not_finite():
    found = checklist(checked("x", math.inf, 1.0)).to_json()
    assert json.loads(json.dumps(found, allow_nan=False))["lines"][0]["value"] is None


def test_the_summary_tells_figures_and_failures():
    summary = json.loads(checklist(checked("b", 3, 2), p99Ms=1.5).summary())
    assert summary == {
        "passed": False,
        "counts": {"pass": 0, "fail": 1, "n/a": 0},
        "failed": ["b"],
        "p99Ms": 1.5,
    }


def test_the_summary_of_very_many_failures_still_fits():
    lines = [checked(f"a check with a rather long name {i}", 3, 2) for i in range(200)]
    text = checklist(*lines, **{f"figure{i}": float(i) for i in range(50)}).summary()
    assert len(text.encode()) <= SUMMARY_BYTES
    assert json.loads(text)["failed"][-1] == "..."
    assert json.loads(text)["counts"]["fail"] == 200


MEASURED = [
    {"name": "F_8", "value": 0.97, "limit": 0.98},
    {"name": "C4_8", "value": 0.06, "limit": 0.05},
    {"name": "S_8", "value": 0.01, "limit": 0.05},
    {"name": "F_32", "value": "nan", "limit": None},
]


def test_quality_measurements_become_lines_and_fidelities_are_better_when_higher():
    lines = lines_of_quality(MEASURED, passed=False, message="")
    assert [line.result for line in lines] == ["fail", "fail", "pass", "told"]
    assert (lines[0].limit, lines[0].better) == (0.98, "higher")


def test_what_the_gate_let_pass_is_within_its_noise():
    lines = lines_of_quality(MEASURED, passed=True, message="")
    assert [line.result for line in lines] == ["pass", "pass", "pass", "told"]
    assert [line.note for line in lines] == ["within its noise", "within its noise", "", ""]


def test_a_variant_that_was_refused_without_a_measurement_fails_and_a_baseline_does_not():
    assert lines_of_quality([], passed=False, message="NaN")[0].result == "fail"
    assert lines_of_quality([], passed=True, message="Baseline")[0].result == "n/a"
