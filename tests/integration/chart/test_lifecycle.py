"""A release from its installation to its end, by Helm on a real API server: what reaches the cluster, and what is left of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from atheria_contract import names
from tests.integration.chart.harness import CHART, DEFINITIONS, MODELS, RELEASED, ROOT, SYSTEM

INSTALL = ("install", "atheria", str(CHART), "-n", SYSTEM)
UPGRADE = ("upgrade", "atheria", str(CHART), "-n", SYSTEM)
UNINSTALL = ("uninstall", "atheria", "-n", SYSTEM)
MODEL = f"{names.MODEL_PLURAL}/qca"


def _fields(cluster: Any) -> set[str]:
    """Fields of an AtheriaModel's spec that the API server knows, and those of its scaling."""
    schema = cluster.get(DEFINITIONS[0])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return {json.dumps(path) for path, _ in _walk(schema["properties"]["spec"])}


def _walk(node: dict[str, Any], path: tuple[str, ...] = ()) -> Any:
    for name, one in node.get("properties", {}).items():
        yield (*path, name), one
        yield from _walk(one, (*path, name))


def _chart_of(cluster: Any) -> str:
    (release,) = json.loads(cluster.succeeds("list", "-n", SYSTEM, "-o", "json"))
    return f"{release['chart']} {release['status']} {release['revision']}"


def test_what_is_refused_changes_nothing_and_uninstall_leaves_the_kept_definitions_and_models(
    cluster: Any,
) -> None:
    before = cluster.everything()
    said = cluster.succeeds(*INSTALL)
    assert "NOTES:" in said
    assert "rollout status deployment/atheria-operator" in said
    cluster.make_model()
    installed = cluster.written()
    wrong = cluster.helm(*UPGRADE, "--set", "gateway.replicaCount=3")
    assert wrong.returncode != 0
    assert "replicaCount" in wrong.stderr
    second = cluster.helm("install", "second", str(CHART), "-n", MODELS)
    assert second.returncode != 0
    assert "invalid ownership metadata" in second.stderr
    assert 'must equal "second": current value is "atheria"' in second.stderr
    cluster.helm("uninstall", "second", "-n", MODELS, "--no-hooks")
    assert cluster.written() == installed
    with cluster.hooks_run() as ran:
        cluster.succeeds(*UNINSTALL)
    assert len(ran) == 1
    kept = cluster.get(MODEL, "-n", MODELS)
    assert "finalizers" not in kept["metadata"], "a deletion would hang for ever"
    wanted = before | {*DEFINITIONS, f"atheriamodel.{names.GROUP}/{MODELS}/qca"}
    assert cluster.settled(wanted) == frozenset()


def test_without_keeping_definitions_uninstall_leaves_nothing_at_all(cluster: Any) -> None:
    before = cluster.everything()
    cluster.succeeds(*INSTALL, "--set", "crds.keep=false,uninstall.timeoutSeconds=30")
    cluster.make_model()
    with cluster.hooks_run():
        cluster.succeeds(*UNINSTALL)
    assert cluster.settled(before) == frozenset()


def test_everything_that_can_be_switched_on_is_taken_by_the_api_server_and_goes_again(
    cluster: Any, tmp_path: Path
) -> None:
    cluster.know_monitors()
    before = cluster.everything()
    values = {
        "monitoring": {"enabled": True},
        "alerts": {"enabled": True},
        "operator": {"namespaces": [MODELS]},
        "gateway": {"autoscaling": {"enabled": True}},
        "networkPolicy": {
            "enabled": True,
            "scrapers": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
            ],
            "modelEgress": [{"ports": [{"port": 443}]}],
        },
        "dashboards": {"enabled": True},
        "admissionPolicies": {
            "refuseForeignAnnotations": True,
            "rules": [{"name": "all", "profiles": ["cpu"]}],
        },
        "imagePrePull": {"pools": [{"name": "l4", "profile": "nvidia-l4"}]},
        "placeholders": {"pools": [{"name": "l4", "profile": "nvidia-l4"}]},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    cluster.succeeds(*INSTALL, "-f", str(file), "-f", str(CHART / "values-gke.yaml"))
    cluster.get("networkpolicy", "atheria-models", "-n", MODELS)
    cluster.get("prometheusrules.monitoring.coreos.com", "atheria", "-n", SYSTEM)

    def monitors(plural: str) -> int:
        return len(cluster.get(f"{plural}.monitoring.coreos.com", "-n", SYSTEM)["items"])

    assert (monitors("podmonitors"), monitors("servicemonitors")) == (3, 0)
    cluster.succeeds(*UPGRADE, "--reuse-values", "--set", "monitoring.kind=ServiceMonitor")
    assert (monitors("podmonitors"), monitors("servicemonitors")) == (0, 3)
    with cluster.hooks_run():
        cluster.succeeds(*UNINSTALL)
    assert cluster.settled(before | {*DEFINITIONS}) == frozenset()


def test_an_upgrade_from_the_released_chart_reaches_the_definitions_and_a_rollback_takes_them_back(
    cluster: Any,
) -> None:
    cluster.succeeds("install", "atheria", str(RELEASED), "-n", SYSTEM)
    cluster.make_model()
    uid = cluster.get(MODEL, "-n", MODELS)["metadata"]["uid"]
    old = _fields(cluster)
    cluster.succeeds(*UPGRADE)
    new = _fields(cluster)
    rendered = yaml.safe_load(
        (CHART / "files" / "crds" / "atheria.dev_atheriamodels.yaml").read_text(encoding="utf-8")
    )
    schema = rendered["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert new == {json.dumps(path) for path, _ in _walk(schema)}
    assert _chart_of(cluster) == "atheria-0.2.0 deployed 2"
    cluster.succeeds("rollback", "atheria", "1", "-n", SYSTEM)
    assert _fields(cluster) == old
    assert _chart_of(cluster) == "atheria-0.1.0 deployed 3"
    cluster.succeeds(*UPGRADE)
    assert _fields(cluster) == new
    assert cluster.get(MODEL, "-n", MODELS)["metadata"]["uid"] == uid, "the model was made anew"


def test_a_reinstall_under_another_name_is_refused_until_it_is_told_to_take_over_what_was_kept(
    cluster: Any,
) -> None:
    cluster.succeeds(*INSTALL, "--set", "uninstall.enabled=false")
    cluster.make_model()
    cluster.succeeds(*UNINSTALL)
    other = ("install", "other", str(CHART), "-n", SYSTEM)
    refused = cluster.helm(*other)
    assert refused.returncode != 0
    assert "invalid ownership metadata" in refused.stderr
    assert names.GROUP in refused.stderr
    cluster.helm("uninstall", "other", "-n", SYSTEM, "--no-hooks")
    cluster.take_over(*other)
    assert cluster.get(DEFINITIONS[0])["metadata"]["annotations"]["meta.helm.sh/release-name"] == "other"
    assert cluster.get(MODEL, "-n", MODELS)["spec"]["model"]["source"] == "builtin://echo"


def test_a_reinstall_under_its_own_name_takes_over_and_a_second_release_lives_beside_it_and_can_go(
    cluster: Any,
) -> None:
    served = f"operator.namespaces={{{MODELS}}}"
    cluster.succeeds(*INSTALL, "--set", "uninstall.enabled=false")
    cluster.succeeds(*UNINSTALL)
    cluster.succeeds(*INSTALL, "--set", served)
    beside = "crds.enabled=false,hardwareProfiles.enabled=false,operator.namespaces={default}"
    cluster.succeeds("install", "second", str(CHART), "-n", SYSTEM, "--set", beside)
    generation = cluster.get("deployment", "atheria-operator", "-n", SYSTEM)["metadata"]["generation"]
    cluster.succeeds(*UPGRADE, "--reuse-values", "--set", "gateway.replicas=3")
    assert cluster.get("deployment", "atheria-gateway", "-n", SYSTEM)["spec"]["replicas"] == 3
    # An autoscaler for the gateway begins with the pods that there are, and an upgrade leaves it those that it chose.
    cluster.succeeds(*UPGRADE, "--reuse-values", "--set", "gateway.autoscaling.enabled=true")
    assert cluster.get("deployment", "atheria-gateway", "-n", SYSTEM)["spec"]["replicas"] == 3
    cluster.kubectl("scale", "deployment/atheria-gateway", "-n", SYSTEM, "--replicas=4")
    cluster.succeeds(*UPGRADE, "--reuse-values", "--set", "gateway.hold.seconds=200")
    assert cluster.get("deployment", "atheria-gateway", "-n", SYSTEM)["spec"]["replicas"] == 4
    assert cluster.get("deployment", "atheria-operator", "-n", SYSTEM)["metadata"]["generation"] == generation
    with cluster.hooks_run():
        cluster.succeeds("uninstall", "second", "-n", SYSTEM)
    cluster.get("deployment", "atheria-gateway", "-n", SYSTEM)
    for definition in DEFINITIONS:
        cluster.get(definition)


def test_the_manifests_and_every_overlay_are_taken_by_the_api_server(cluster: Any) -> None:
    for folder in ("base", *(f"overlays/{cloud}" for cloud in ("gke", "eks", "aks", "ovh", "nvidia-gfd"))):
        path = str(ROOT / "manifests" / folder)
        said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-k", path).stdout
        assert "deployment.apps/atheria-operator serverside-applied (server dry run)" in said, folder
