"""PodMonitors select the pods and give the labels that Prometheus' operator would."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bench.dashboards.monitors import configuration, jobs, targets


def monitor(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "atheria-models", "namespace": "atheria-system"},
        "spec": {
            "selector": {"matchExpressions": [{"key": "atheria.dev/model", "operator": "Exists"}]},
            "podMetricsEndpoints": [{"port": "http", "interval": "15s"}],
            **spec,
        },
    }


def pod(
    name: str, *, namespace: str = "demo", phase: str = "Running", ip: str = "10.0.0.1"
) -> dict[str, Any]:
    ports = [{"name": "grpc", "containerPort": 8001}, {"name": "http", "containerPort": 8000}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"atheria.dev/model": "qca"}},
        "spec": {"containers": [{"name": "model", "ports": ports}, {"name": "other"}]},
        "status": {"podIP": ip, "phase": phase},
    }


def names_of(spec: dict[str, Any], pods: list[dict[str, Any]]) -> list[str]:
    (job,) = jobs([monitor(**spec)])
    return [one["labels"]["pod"] for one in targets(job, pods)]


def test_a_target_is_the_named_port_with_the_operators_labels() -> None:
    (job,) = jobs([monitor(namespaceSelector={"any": True})])
    assert targets(job, [pod("qca-1")]) == [
        {
            "targets": ["10.0.0.1:8000"],
            "labels": {
                "job": "atheria-system/atheria-models",
                "namespace": "demo",
                "pod": "qca-1",
                "container": "model",
                "endpoint": "http",
            },
        }
    ]


def test_without_a_namespace_selector_only_the_monitors_own_namespace_counts() -> None:
    pods = [pod("there"), pod("here", namespace="atheria-system")]
    assert names_of({}, pods) == ["here"]
    assert names_of({"namespaceSelector": {"matchNames": ["demo"]}}, pods) == ["there"]
    assert names_of({"namespaceSelector": {"any": True}}, pods) == ["there", "here"]


def test_pods_without_an_address_and_pods_that_have_ended_are_left_out() -> None:
    pods = [pod("waits", ip=""), pod("done", phase="Succeeded"), pod("broken", phase="Failed")]
    assert names_of({"namespaceSelector": {"any": True}}, pods) == []


def test_pods_that_the_selector_does_not_take_are_left_out() -> None:
    other = pod("other")
    other["metadata"]["labels"] = {"app": "else"}
    assert names_of({"namespaceSelector": {"any": True}}, [other]) == []


def test_a_job_keeps_the_monitors_labels_path_and_scheme() -> None:
    endpoint = {"port": "metrics", "interval": "15s", "honorLabels": True}
    (job,) = jobs([monitor(podMetricsEndpoints=[endpoint])])
    (scrape,) = yaml.safe_load(configuration([job], "/targets", 1))["scrape_configs"]
    assert scrape["honor_labels"] is True
    assert scrape["metrics_path"] == "/metrics"
    assert scrape["scheme"] == "http"
    assert scrape["file_sd_configs"][0]["files"] == ["/targets/atheria-system-atheria-models-metrics.json"]


def test_a_field_that_is_not_understood_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'relabelings'"):
        jobs([monitor(podMetricsEndpoints=[{"port": "http", "relabelings": []}])])
    with pytest.raises(ValueError, match="'sampleLimit'"):
        jobs([monitor(sampleLimit=3)])
