"""From logs and watches to the phases of a cold call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atheria_contract import names
from bench.cold_start.marks import (
    PHASES,
    ColdCall,
    has_condition,
    is_published,
    phases_of,
    released_point,
    server_points,
    spread,
    unix_seconds,
)
from bench.cold_start.report import markdown

LOG = """\
2026-01-01T00:00:01.000Z INFO atheria.server event=listening model=m grpc_port=8001 http_port=8000 seconds=0.768
2026-01-01T00:00:03.000Z INFO atheria.engine event=model_loaded seconds=2.012 import_seconds=1.908
2026-01-01T00:00:03.250Z INFO atheria.server event=ready model=m seconds=3.561 import_seconds=1.908 setup_seconds=0.104 \
warmup_seconds=0.217
"""
ZERO = unix_seconds("2026-01-01T00:00:00")


def test_the_phases_add_up_to_the_callers_wait() -> None:
    points = {name: 100.0 + index for index, name in enumerate(PHASES, start=1)}
    phases = phases_of(100.0, points)
    assert list(phases) == list(PHASES)
    assert sum(phases.values()) == pytest.approx(points["answered"] - 100.0)
    assert set(phases.values()) == {1.0}


def test_a_point_that_was_learnt_late_ends_its_phase_without_making_another_one_negative() -> None:
    points = dict.fromkeys(PHASES, 101.0) | {"scheduled": 102.0, "published": 999.0, "answered": 103.0}
    phases = phases_of(100.0, points)
    assert min(phases.values()) == 0.0
    assert sum(phases.values()) == pytest.approx(3.0)


def test_a_point_that_nobody_saw_is_no_measurement() -> None:
    with pytest.raises(KeyError, match="process"):
        phases_of(0.0, {name: 1.0 for name in PHASES if name != "process"})


def test_a_servers_log_tells_when_it_had_imported_loaded_and_warmed_up() -> None:
    found = server_points(LOG)
    assert found["loaded"] - ZERO == pytest.approx(3.0)
    assert found["imported"] - ZERO == pytest.approx(2.896)
    assert found["ready"] - ZERO == pytest.approx(3.25)
    assert server_points("") == {}


def test_the_held_call_is_found_in_envoys_log_among_other_lines() -> None:
    def line(**fields: Any) -> str:
        return json.dumps(
            {"model": "b/m", "held_seconds": None, "time": "2026-01-01T00:00:05.000Z", **fields}
        )

    lines = [
        "2026-01-01 00:00:00,000 INFO atheria_gateway started",
        line(),
        line(model="b/other", held_seconds=9.0),
        line(held_seconds=1.0, time="2026-01-01T00:00:01.000Z"),
        line(held_seconds=2.5),
    ]
    assert released_point(lines, "b/m", ZERO + 4.9) == pytest.approx(ZERO + 7.5)
    assert released_point(lines[:4], "b/m", ZERO + 4.9) is None


@pytest.mark.parametrize(
    ("labels", "ready", "expected"),
    [
        ({names.LABEL_REVISION: "a"}, True, True),
        ({names.LABEL_REVISION: "a"}, False, False),
        ({}, True, False),
    ],
)
def test_only_a_ready_pod_in_a_revisions_slice_is_published(
    labels: dict[str, str], ready: bool, expected: bool
) -> None:
    body = {"metadata": {"labels": labels}, "endpoints": [{"conditions": {"ready": ready}}]}
    assert is_published(body) is expected


def test_a_condition_counts_only_when_it_is_true() -> None:
    pod = {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "A", "status": "True"}]}}
    assert has_condition(pod, "A")
    assert not has_condition(pod, "Ready")
    assert not has_condition({}, "Ready")


def test_the_table_has_the_median_and_the_spread_of_each_phase_and_of_the_whole() -> None:
    calls = [
        ColdCall(phases=dict.fromkeys(PHASES, seconds), cpu_seconds=10 * seconds)
        for seconds in (0.1, 0.2, 0.6)
    ]
    figures = spread(calls)
    assert figures["total"].median == pytest.approx(0.2 * len(PHASES))
    assert (figures["ready"].low, figures["ready"].high) == (0.1, 0.6)
    text = markdown({"present": calls}, 2, [3.0, 1.0])
    assert "3 of present; 2 processors, load average 1.0 to 3.0" in text
    assert "| warm-up | 0.20 (0.10 - 0.60) |" in text
    assert f"| **the caller waited** | {0.2 * len(PHASES):.2f} (" in text
    assert text.endswith("| CPU seconds of the pod | 2.00 (1.00 - 6.00) |")
