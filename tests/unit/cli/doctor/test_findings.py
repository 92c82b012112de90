"""From what was read of a cluster to findings with remedies."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from atheria_cli.doctor.findings import Facts, Finding, Level, findings, is_ready

TODAY = date(2026, 11, 1)
DEFINITIONS = ("atheriamodels.atheria.dev", "atheriahardwareprofiles.atheria.dev")


def deployment(component: str, ready: int = 1, version: str = "1.0") -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component, "app.kubernetes.io/version": version}
    metadata = {"namespace": "atheria-system", "name": f"atheria-{component}", "labels": labels}
    return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"readyReplicas": ready}}


def profile(**spec: Any) -> dict[str, Any]:
    price = {"usdPerHour": "0.60", "source": "a page", "date": "2026-10"}
    return {"metadata": {"name": "nvidia-l4"}, "spec": {"price": price, **spec}}


L4 = {"nodeAlternatives": [{"labels": {"gpu": ["l4"]}}], "resourceName": "nvidia.com/gpu"}


ON_L4 = {"metadata": {"namespace": "a", "name": "m"}, "spec": {"hardware": {"profile": "nvidia-l4"}}}


def node(devices: int = 0, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "labels": labels},
        "status": {"allocatable": {"nvidia.com/gpu": str(devices)} if devices else {}},
    }


def found(**facts: Any) -> tuple[Finding, ...]:
    given: dict[str, Any] = {
        "client_version": "1.0",
        "server_version": "v1.35.4",
        "definitions": DEFINITIONS,
        "deployments": [deployment("operator"), deployment("gateway")],
        "profiles": [profile()],
        "nodes": [node()],
        "models": [],
        **facts,
    }
    return findings(Facts(**given), TODAY)


def worst(given: tuple[Finding, ...]) -> Finding:
    return max(given, key=lambda one: list(Level).index(one.level))


def test_a_whole_cluster_has_no_finding_that_needs_a_remedy() -> None:
    assert all(one.level is Level.OK for one in found())
    assert is_ready(found())


@pytest.mark.parametrize(
    ("facts", "level", "what", "remedy"),
    [
        ({"server_version": None}, Level.PROBLEM, "no cluster answers", "--context"),
        ({"server_version": "v1.29.9"}, Level.PROBLEM, "older than 1.30", "upgrade"),
        (
            {"definitions": DEFINITIONS[:1]},
            Level.PROBLEM,
            "atheriahardwareprofiles.atheria.dev not installed",
            "helm",
        ),
        ({"deployments": [deployment("operator")]}, Level.PROBLEM, "no gateway is installed", "helm"),
        (
            {"deployments": [deployment("operator", ready=0), deployment("gateway")]},
            Level.PROBLEM,
            "0 of 1 pods are ready",
            "atheria logs --component operator",
        ),
        (
            {"deployments": [deployment("operator", version="0.9"), deployment("gateway")]},
            Level.WARNING,
            "is version 0.9, this command 1.0",
            "same version",
        ),
        ({"profiles": []}, Level.PROBLEM, "no AtheriaHardwareProfile", "hardwareProfiles.enabled"),
        (
            {"profiles": [profile(price=None)], "models": [ON_L4]},
            Level.WARNING,
            "has no price",
            "put in what you pay",
        ),
        (
            {"profiles": [profile(price={"usdPerHour": "0.60", "date": "2026-01"})], "models": [ON_L4]},
            Level.WARNING,
            "0.60 USD/h is from 2026-01 (no source)",
            "put in what you pay",
        ),
        (
            {
                "models": [
                    {"metadata": {"namespace": "a", "name": "m"}, "status": {"fault": {"reason": "NoNode"}}}
                ]
            },
            Level.WARNING,
            "model a/m is not ready: NoNode",
            "atheria get m -n a",
        ),
        (
            {"nodes": None, "errors": {"nodes": "forbidden"}},
            Level.WARNING,
            "could not be read: forbidden",
            "right",
        ),
    ],
)
def test_what_is_wrong_is_found_with_its_remedy(facts: Any, level: Level, what: str, remedy: str) -> None:
    one = worst(found(**facts))
    assert (one.level, what in one.what, remedy in one.remedy) == (level, True, True), one


def test_a_pool_without_nodes_is_a_warning_only_where_a_model_names_it() -> None:
    model = {
        "metadata": {"namespace": "a", "name": "m"},
        "spec": {"hardware": {"profile": "nvidia-l4"}},
    }
    assert worst(found(profiles=[profile(**L4)])).level is Level.OK
    one = worst(found(profiles=[profile(**L4)], models=[model]))
    assert one.level is Level.WARNING
    assert "no node has its labels" in one.what


def test_the_price_of_a_profile_that_nobody_uses_is_not_asked_for() -> None:
    assert worst(found(profiles=[profile(price=None)])).level is Level.OK


def test_nodes_without_their_device_plugin_are_told_from_missing_nodes() -> None:
    model = {"metadata": {"namespace": "a", "name": "m"}, "status": {"hardware": {"profile": "nvidia-l4"}}}
    one = worst(found(profiles=[profile(**L4)], models=[model], nodes=[node(gpu="l4")]))
    assert "1 nodes have its labels, none has nvidia.com/gpu" in one.what
    assert "device plugin" in one.remedy
    given = found(profiles=[profile(**L4)], models=[model], nodes=[node(2, gpu="l4"), node(1, gpu="h100")])
    assert any(one.what == "profile nvidia-l4: 2 x nvidia.com/gpu on 1 nodes" for one in given)
