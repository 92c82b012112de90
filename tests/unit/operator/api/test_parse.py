"""Bodies to intents, or to the problem with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.api.parse import parse_model, parse_profile

Bodies = Callable[..., dict[str, Any]]


def test_a_source_is_enough_and_the_rest_has_defaults(body: Bodies) -> None:
    found = parse_model(body())
    assert isinstance(found, ModelIntent)
    assert str(found.key) == "demo/qca"
    assert (found.profile, found.device_count, found.requested_replicas) == ("cpu", 1, 0)
    assert (found.serving.max_batch_size, found.serving.max_latency_seconds) == (8, 0.05)
    scaling = found.scaling
    assert (scaling.min_replicas, scaling.max_replicas, scaling.initial_replicas) == (0, 1, 1)
    assert (scaling.idle_timeout_seconds, scaling.scale_down_delay_seconds) == (300, 30)
    assert not scaling.is_external


def test_every_part_of_the_spec_arrives(body: Bodies) -> None:
    found = parse_model(
        body(
            model={"source": "python://a.b:C", "parameters": {"x": 1, "y": "z", "w": True}, "digest": ""},
            hardware={"profile": "nvidia-l4", "count": 2},
            batching={"maxBatchSize": 3, "maxLatency": "1s"},
            concurrency={"maxQueueDepth": 9, "workersPerReplica": 2},
            scaling={"class": "external", "minReplicas": 1, "maxReplicas": 4, "target": 2},
            warmup={"shapes": [[16, 8, 8]]},
            podTemplate={"spec": {"nodeSelector": {"a": "b"}}},
            replicas=3,
        )
    )
    assert isinstance(found, ModelIntent)
    assert found.serving.parameters == {"x": 1, "y": "z", "w": True}
    assert (found.serving.workers, found.serving.idempotent) == (2, False)
    assert (found.serving.max_queue_depth, found.serving.warmup_shapes) == (9, ((16, 8, 8),))
    assert (found.profile, found.device_count, found.requested_replicas) == ("nvidia-l4", 2, 3)
    assert found.scaling.is_external
    assert found.pod_template == {"spec": {"nodeSelector": {"a": "b"}}}


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"model": {"source": "builtin://nothing"}}, "UnknownSource", "builtin://qca, builtin://echo"),
        ({"model": {}}, "InvalidSpec", "spec.model.source"),
        ({"modle": {}}, "InvalidSpec", "spec.modle"),
        ({"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "InvalidSpec", "minReplicas is 3, above maxReplicas 2"),
        (
            {"model": {"source": "builtin://qca", "parameters": {"a": [1]}}},
            "InvalidSpec",
            "spec.model.parameters.a is [1]",
        ),
        ({"batching": {"maxBatchSize": 0}}, "InvalidSpec", "spec.batching.maxBatchSize is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_a_problem_with_field_value_and_next_step(
    body: Bodies, change: dict[str, Any], reason: str, words: str
) -> None:
    found = parse_model(body(**change))
    assert isinstance(found, Problem)
    assert found.reason == reason
    assert words in found.message


def test_a_profile_is_read_and_a_wrong_one_is_a_problem() -> None:
    metadata = {"name": "l4"}
    good = parse_profile({"metadata": metadata, "spec": {"resourceName": "nvidia.com/gpu", "image": "x"}})
    assert isinstance(good, HardwareProfile)
    assert (good.name, good.resource_name, good.image) == ("l4", "nvidia.com/gpu", "x")
    bad = parse_profile({"metadata": metadata, "spec": {"resourceNam": "x"}})
    assert isinstance(bad, Problem)
    assert "'l4'" in bad.message


@given(count=st.integers(0, 999_999_999))
def test_a_duration_is_its_number_times_its_unit(count: int) -> None:
    assert duration_seconds(f"{count}ms", "f") == pytest.approx(count / 1000)
    assert duration_seconds(f"{count}s", "f") == count
    assert duration_seconds(f"{count}m", "f") == count * 60
    assert duration_seconds(f"{count}h", "f") == count * 3600


@pytest.mark.parametrize("text", ["", "5", "1.5s", "-1s", "1d", "s", " 1s"])
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"spec\.x is .*50ms"):
        duration_seconds(text, "spec.x")
