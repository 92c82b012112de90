"""ScalerReady: who decides the number of pods, and whether that works."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_operator.api.model import Problem
from atheria_operator.domain.status.scaler import (
    class_before,
    of_external,
    of_horizontal_pod_autoscaler,
    of_scaled_object,
    scaler_before,
)


def body(*others: dict[str, str], **condition: str) -> dict[str, Any]:
    return {"status": {"conditions": [condition, *others]}}


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, ("Unknown", "WaitingForAutoscaler")),
        ({}, ("Unknown", "WaitingForAutoscaler")),
        (
            body(type="ScalingActive", status="True", reason="ValidMetricFound"),
            ("True", "HorizontalPodAutoscaler"),
        ),
        (
            body(type="ScalingActive", status="False", reason="ScalingDisabled"),
            ("True", "HorizontalPodAutoscaler"),
        ),
        (
            body(type="ScalingActive", status="False", reason="FailedGetExternalMetric", message="unable"),
            ("False", "FailedGetExternalMetric"),
        ),
        (
            body(type="ScalingActive", status="False", reason="no word", message="x"),
            ("False", "WaitingForAutoscaler"),
        ),
    ],
)
def test_an_autoscaler_says_itself_whether_it_works(
    live: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    found = of_horizontal_pod_autoscaler(live)
    assert (found.status, found.reason) == expected


def test_a_metric_that_nobody_serves_names_the_next_step() -> None:
    live = body(type="ScalingActive", status="False", reason="FailedGetExternalMetric", message="unable")
    assert of_horizontal_pod_autoscaler(live).message == (
        "unable; set the chart value operator.externalMetrics.enabled=true, or have another adapter serve the metric"
    )


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, ("Unknown", "WaitingForAutoscaler")),
        (body(type="Ready", status="Unknown"), ("Unknown", "WaitingForAutoscaler")),
        (body(type="Ready", status="True", reason="ScaledObjectReady"), ("True", "Keda")),
        (
            body(type="Ready", status="False", reason="TriggerError", message="why"),
            ("False", "TriggerError"),
        ),
    ],
)
def test_a_scaled_object_says_itself_whether_it_works(
    live: dict[str, Any] | None, expected: tuple[str, str]
) -> None:
    found = of_scaled_object(live, None)
    assert (found.status, found.reason) == expected


READY = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady"}


def test_what_kedas_autoscaler_cannot_read_is_told_with_the_next_step() -> None:
    # KEDA 2.21 leaves Ready as it is and says it here.
    live = body(READY, type="HPAActive", status="False", reason="FailedGetExternalMetric", message="unable")
    found = of_scaled_object(live, None)
    assert (found.status, found.reason) == ("False", "FailedGetExternalMetric")
    assert found.message == (
        "unable; KEDA's metrics server has to serve it: kubectl get apiservice v1beta1.external.metrics.k8s.io"
    )


@pytest.mark.parametrize("status", ["True", "Unknown"])
def test_an_autoscaler_of_keda_that_works_or_was_not_looked_at_changes_nothing(status: str) -> None:
    found = of_scaled_object(body(READY, type="HPAActive", status=status, reason="HPAActive"), None)
    assert (found.status, found.reason) == ("True", "Keda")


def test_a_problem_comes_before_what_is_stored() -> None:
    found = of_scaled_object({}, Problem(reason="KedaMissing", message="install it"))
    assert (found.status, found.reason, found.message) == ("False", "KedaMissing", "install it")


def test_an_external_decider_is_named() -> None:
    assert (of_external().status, of_external().reason) == ("True", "External")


def test_what_is_stored_stays_for_a_round_that_cannot_look() -> None:
    stored = {
        "scaledBy": "keda",
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": ""},
            {"type": "ScalerReady", "status": "False", "reason": "KedaMissing", "message": "install it"},
        ],
    }
    (kept,) = scaler_before(stored)
    assert (kept.reason, kept.message) == ("KedaMissing", "install it")
    assert class_before(stored) == "keda"
    assert class_before({}) == "atheria"
