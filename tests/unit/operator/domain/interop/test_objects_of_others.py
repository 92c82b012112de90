"""The HorizontalPodAutoscaler and the ScaledObject of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, Problem, ScalingClass, ScalingMetric
from atheria_operator.api.parse import parse_model
from atheria_operator.domain.interop.horizontal_pod_autoscaler import (
    build_behavior,
    build_horizontal_pod_autoscaler,
    quantity,
)
from atheria_operator.domain.interop.scaled_object import build_scaled_object


def intent(**scaling: Any) -> ModelIntent:
    found = parse_model(
        {
            "metadata": {"name": "qca", "namespace": "demo", "uid": "uid-1", "generation": 1},
            "spec": {"model": {"source": "builtin://echo"}, "scaling": scaling},
        }
    )
    assert not isinstance(found, Problem), found
    return found


def test_an_autoscaler_scales_the_model_by_its_calls_between_one_and_its_maximum() -> None:
    made = build_horizontal_pod_autoscaler(intent(**{"class": "hpa"}, maxReplicas=8, scaleDownDelay="90s"))
    assert made["metadata"]["name"] == "qca"
    assert made["metadata"]["labels"][names.LABEL_MODEL] == "qca"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    spec = made["spec"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": names.API_VERSION,
        "kind": names.MODEL_KIND,
        "name": "qca",
    }
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 8)
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {"name": "atheria_calls", "selector": {"matchLabels": {"model": "qca"}}},
                "target": {"type": "AverageValue", "averageValue": "3400m"},
            },
        }
    ]
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 90
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_rates_become_percents_of_a_step() -> None:
    policy = replace(
        intent(**{"class": "hpa"}).scaling,
        max_scale_up_rate=3,
        max_scale_down_rate=2,
        scale_down_delay_seconds=7200,
    )
    behavior = build_behavior(policy)
    assert behavior["scaleUp"]["policies"] == [{"type": "Percent", "value": 200, "periodSeconds": 15}]
    assert behavior["scaleDown"]["policies"] == [{"type": "Percent", "value": 50, "periodSeconds": 15}]
    # The API takes an hour at most.
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 3600


@pytest.mark.parametrize(
    ("value", "text"), [(4, "4"), (3.4, "3400m"), (0.0001, "1m"), (100_000.0, "100000"), (1.0004, "1")]
)
def test_a_quantity_is_written_as_kubernetes_stores_it(value: float, text: str) -> None:
    assert quantity(value) == text


def test_a_scaled_object_names_the_model_the_metric_and_where_to_ask() -> None:
    made = build_scaled_object(
        intent(**{"class": "keda"}, metric="requestsPerSecond", target=10, maxReplicas=4, idleTimeout="2m"),
        "atheria-operator.atheria-system:8004",
    )
    assert (made["apiVersion"], made["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    spec = made["spec"]
    assert spec["scaleTargetRef"]["kind"] == names.MODEL_KIND
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 4)
    # KEDA would else take pods that run at its first look at once.
    assert (spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (120, 120)
    assert not spec["advanced"]["restoreToOriginalReplicaCount"]
    assert spec["triggers"] == [
        {
            "type": "external-push",
            "metricType": "AverageValue",
            "metadata": {
                "scalerAddress": "atheria-operator.atheria-system:8004",
                "model": "qca",
                "metric": "atheria_calls_per_second",
                "target": "8.5",
            },
        }
    ]


def test_a_latency_cannot_be_divided_by_others() -> None:
    found = parse_model(
        {
            "metadata": {"name": "qca", "namespace": "demo", "uid": "uid-1", "generation": 1},
            "spec": {
                "model": {"source": "builtin://echo"},
                "scaling": {"class": "keda", "metric": "latency"},
            },
        }
    )
    assert isinstance(found, Problem)
    assert "spec.scaling.metric is 'latency' with class 'keda'" in found.message


def test_the_classes_are_those_of_the_api() -> None:
    for name in ScalingClass:
        assert intent(**{"class": name.value}).scaling.scaling_class is name
    assert ScalingMetric.LATENCY.value == "latency"
