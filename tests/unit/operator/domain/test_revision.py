"""A revision's hash: equal for equal pods, different for different ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atheria_contract.serving import parse_serving_config
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.pod_template import GRACE_SECONDS, ServerDefaults
from atheria_operator.domain.desired.revision import (
    END_SECONDS,
    HASH_LENGTH,
    build_revision,
    config_text,
    digest_of,
)

Intents = Callable[..., ModelIntent]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=5))
def test_the_order_of_keys_has_no_part_in_a_digest(value: dict[str, Any]) -> None:
    digest = digest_of(value)
    assert digest == digest_of(dict(reversed(list(value.items()))))
    assert len(digest) == HASH_LENGTH


@given(one=st.dictionaries(st.text(max_size=3), JSON), other=st.dictionaries(st.text(max_size=3), JSON))
def test_different_values_have_different_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    # 1 and True are equal in Python, but not in JSON.
    if repr(sorted(one.items())) != repr(sorted(other.items())) and one != other:
        assert digest_of(one) != digest_of(other)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minimum=st.integers(0, 5), more=st.integers(0, 5), replicas=st.integers(0, 9))
def test_scaling_has_no_part_in_a_revision(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults, minimum: int, more: int, replicas: int
) -> None:
    scaling = {"minReplicas": minimum, "maxReplicas": max(1, minimum + more)}
    changed = build_revision(intent(scaling=scaling, replicas=replicas), cpu, defaults)
    assert changed == build_revision(intent(), cpu, defaults)


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"source": "builtin://echo"}},
        {"model": {"source": "builtin://qca", "parameters": {"law": "nca"}}},
        {"model": {"source": "builtin://qca", "digest": f"sha256:{'0' * 64}"}},
        {"batching": {"maxBatchSize": 2}},
        {"batching": {"maxLatency": "1ms"}},
        {"warmup": {"shapes": [[1]]}},
        {"podTemplate": {"spec": {"nodeSelector": {"a": "b"}}}},
        {"precision": {"policy": "int8"}},
        {"compile": {"mode": "aot"}},
        {"warmup": {"hooks": ["a:b"]}},
        {"quality": {"limits": {"C4": 0.01}}},
        {"cache": {"emptyDir": {}}},
    ],
)
def test_what_changes_the_pods_changes_the_revision(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults, change: dict[str, Any]
) -> None:
    assert (
        build_revision(intent(**change), cpu, defaults).hash != build_revision(intent(), cpu, defaults).hash
    )


def test_another_image_or_profile_is_another_revision(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    hashes = {
        build_revision(intent(), cpu, defaults).hash,
        build_revision(intent(), cpu, replace(defaults, image="server:2")).hash,
        build_revision(intent(), replace(cpu, image="other"), defaults).hash,
        build_revision(intent(), replace(cpu, node_selector={"a": "b"}), defaults).hash,
    }
    assert len(hashes) == 4


TEXT = {"source": "hf://owner/name@abc", "runtime": "text"}


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ({"source": "builtin://qca", "parameters": {"law": "nca"}}, {"law": "nca"}),
        (TEXT, {"runtime": "text"}),
        ({**TEXT, "parameters": {"kv_precision": "int8"}}, {"runtime": "text", "kv_precision": "int8"}),
    ],
)
def test_a_model_that_asks_for_nothing_new_is_told_word_for_word_what_earlier_operators_told(
    intent: Intents, model: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """Or an upgrade would roll every model out anew: whoever changes this text changes the revision of all models."""
    assert json.loads(config_text(intent(model=model).serving)) == {
        "digest": "",
        "drain_delay_seconds": 3.0,
        "drain_timeout_seconds": 20.0,
        "grpc_port": 8001,
        "host": "0.0.0.0",
        "http_port": 8000,
        "idempotent": False,
        "max_batch_size": 8,
        "max_latency_seconds": 0.05,
        "max_message_bytes": 67_108_864,
        "max_queue_depth": 512,
        "name": "qca",
        "parameters": parameters,
        "source": model["source"],
        "warmup_shapes": [],
        "workers": 1,
    }


def test_a_typed_field_is_the_same_revision_as_the_parameter_that_it_stands_for(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    plain = build_revision(intent(model=TEXT), cpu, defaults)
    assert build_revision(intent(model=TEXT, kvCache={}, attention={}), cpu, defaults) == plain
    typed = build_revision(intent(model=TEXT, kvCache={"precision": "int8"}), cpu, defaults)
    named = build_revision(intent(model={**TEXT, "parameters": {"kv_precision": "int8"}}), cpu, defaults)
    assert typed == named != plain


@pytest.mark.parametrize(
    ("grace_seconds", "drain_seconds"), [(None, 20.0), (40, 20.0), (600, 592.0), (20, 12.0), (5, 0.0)]
)
def test_accepted_calls_get_a_persons_own_grace_period(
    intent: Intents,
    cpu: HardwareProfile,
    defaults: ServerDefaults,
    grace_seconds: int | None,
    drain_seconds: float,
) -> None:
    own = (
        {}
        if grace_seconds is None
        else {"podTemplate": {"spec": {"terminationGracePeriodSeconds": grace_seconds}}}
    )
    config = parse_serving_config(build_revision(intent(**own), cpu, defaults).config_json)
    assert config.drain_timeout_seconds == drain_seconds
    assert config.drain_delay_seconds + config.drain_timeout_seconds + END_SECONDS <= max(
        grace_seconds or GRACE_SECONDS, 8
    )
