"""What a custom runtime may and must say: no setting that nobody obeys is taken silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_operator.api.model import CustomServer, ModelIntent, Problem
from atheria_operator.api.parse import parse_model

Bodies = Callable[..., dict[str, Any]]
MODEL = {"source": "hf://owner/name@abc", "runtime": "custom"}
POD = {"spec": {"containers": [{"name": "model", "image": "engine:1"}]}}


def _parsed(body: Bodies, **spec: Any) -> ModelIntent | Problem:
    return parse_model(body(**{"model": MODEL, "podTemplate": POD, **spec}))


def test_its_container_tells_its_state_by_health_where_nothing_else_is_said(body: Bodies) -> None:
    found = _parsed(body)
    assert isinstance(found, ModelIntent), found
    assert found.custom == CustomServer(ready_path="/health", live_path="/health")


def test_what_is_said_of_the_container_is_taken(body: Bodies) -> None:
    custom = {"readyPath": "/ready", "livePath": "/live", "inFlightMetrics": ["a:b", "c_d"]}
    found = _parsed(body, model={**MODEL, "custom": custom})
    assert isinstance(found, ModelIntent), found
    assert found.custom == CustomServer(
        ready_path="/ready", live_path="/live", in_flight_metrics=("a:b", "c_d")
    )


def test_our_own_server_is_no_custom_one(body: Bodies) -> None:
    found = parse_model(body())
    assert isinstance(found, ModelIntent), found
    assert found.custom is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"model": {"source": "builtin://qca", "custom": {}}}, "spec.model.custom is set, but spec.model.runtime is 'atheria'"),
        ({"model": {**MODEL, "source": "builtin://qca"}}, "only Atheria's own server has"),
        ({"model": {**MODEL, "source": "python://a:B"}}, "only Atheria's own server has"),
        ({"podTemplate": {}}, "no container 'model' with an image"),
        ({"podTemplate": {"spec": {"containers": [{"name": "other", "image": "x"}]}}}, "no container 'model' with an image"),
        ({"podTemplate": {"spec": {"containers": [{"name": "model", "image": None}]}}}, "no container 'model' with an image"),
        ({"model": {**MODEL, "parameters": {"a": 1}}}, "spec.model.parameters has no effect"),
        ({"model": {**MODEL, "digest": "sha256:" + "0" * 64}}, "spec.model.digest has no effect"),
        ({"precision": {"policy": "int8"}}, "spec.precision has no effect"),
        ({"compile": {"mode": "default"}}, "spec.compile has no effect"),
        ({"warmup": {"shapes": [[1]]}}, "spec.warmup has no effect"),
        ({"quality": {"allowUnvalidated": True}}, "spec.quality has no effect"),
        ({"cache": {"signingSecretName": "s"}}, "spec.cache.signingSecretName has no effect"),
        ({"batching": {"maxLatency": "20ms"}}, "spec.batching.maxLatency has no effect"),
        ({"concurrency": {"workersPerReplica": 2}}, "spec.concurrency.workersPerReplica has no effect"),
        ({"scaling": {"scaleToZero": {"mode": "sleep"}}}, "spec.scaling.scaleToZero.mode is 'sleep'"),
    ],
)  # fmt: skip
def test_what_nobody_would_obey_is_refused_with_the_field(
    body: Bodies, spec: dict[str, Any], words: str
) -> None:
    found = _parsed(body, **spec)
    assert isinstance(found, Problem)
    assert found.reason == "InvalidSpec"
    assert words in found.message
