"""The metrics' text: what promtool's `check metrics` would say about the names, and which event moves which number."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from atheria_server.metrics import STAGES, ServerMetrics

TYPES_IN_NAMES = ("counter", "gauge", "histogram", "summary", "untyped")
ABBREVIATIONS = (
    "_ms",
    "_millis",
    "_us",
    "_ns",
    "_sec",
    "_secs",
    "_mb",
    "_kb",
    "_b",
    "_milliseconds",
    "_minutes",
)


@pytest.fixture
def metrics() -> ServerMetrics:
    return ServerMetrics(model="m", version="0")


def sample(metrics: ServerMetrics, name: str, **labels: str) -> float:
    values = [
        found.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for found in family.samples
        if found.name == name and labels.items() <= found.labels.items()
    ]
    assert values, name
    return sum(values)


def test_the_names_keep_the_rules_that_promtool_checks(metrics: ServerMetrics) -> None:
    text = metrics.text().decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert len(kinds) > 15
    for name, kind in kinds.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert helps.get(name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert not name.endswith(ABBREVIATIONS), name
        assert not set(TYPES_IN_NAMES) & set(name.split("_")), name
        if kind in ("counter", "gauge"):
            assert not name.endswith(("_count", "_sum", "_bucket")), name
        if "seconds" in name and not name.endswith("_created"):
            assert name.endswith("_seconds"), name


def test_every_stage_is_there_before_the_first_call(metrics: ServerMetrics) -> None:
    for stage in STAGES:
        assert sample(metrics, "atheria_stage_duration_seconds_count", stage=stage) == 0


def test_each_event_moves_its_stage(metrics: ServerMetrics) -> None:
    metrics.decoded(0.5)
    metrics.batch_sent(3, [0.25, 0.75])
    metrics.stream_sent(1.0)
    metrics.batch_computed(2.0, rows=3, calls=2)
    metrics.stream_computed(4.0, rows=1)
    metrics.encoded(0.125)
    found = {stage: sample(metrics, "atheria_stage_duration_seconds_sum", stage=stage) for stage in STAGES}
    assert found == {"decode": 0.5, "queue": 2.0, "inference": 6.0, "encode": 0.125}


def test_ends_of_calls_are_told_apart(metrics: ServerMetrics) -> None:
    metrics.call_ended("infer", "OK", 0.5)
    metrics.call_ended("infer", "CANCELLED", 0.5)
    metrics.call_ended("stream", "DEADLINE_EXCEEDED", 0.5)
    metrics.call_ended("infer", "RESOURCE_EXHAUSTED", 0.0)
    metrics.call_rejected("queue_full")
    metrics.worker_restarted()
    metrics.frames_dropped(4)
    assert sample(metrics, "atheria_cancelled_requests_total") == 1
    assert sample(metrics, "atheria_expired_requests_total") == 1
    assert sample(metrics, "atheria_rejected_requests_total", reason="queue_full") == 1
    assert sample(metrics, "atheria_worker_restarts_total") == 1
    assert sample(metrics, "atheria_stream_frames_dropped_total") == 4
    assert metrics.statistics.success.count == 1
    assert metrics.statistics.fail.count == 3
