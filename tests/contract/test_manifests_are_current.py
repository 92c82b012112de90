"""manifests/ installs what the chart installs, without Helm: by kustomize, and for each cloud with its pools."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from atheria_local import programs
from tests.contract.chart import CHART, LOADER, ROOT, Object, render
from tools import generate_manifests

MANIFESTS: Final = ROOT / "manifests"
VERSIONS: Final = ("1.30", "1.35", "1.37")
"""The oldest that Atheria needs, the one of the local cluster, the newest that the validator knows."""
CLOUD = pytest.mark.parametrize("cloud", generate_manifests.CLOUDS)
EVERYTHING: Final = (
    *("--set", "networkPolicy.enabled=true,gateway.autoscaling.enabled=true,dashboards.enabled=true"),
    *("--set", "admissionPolicies.refuseForeignAnnotations=true,admissionPolicies.rules[0].name=a"),
    *("--set", "placeholders.pools[0].name=l4,placeholders.pools[0].profile=nvidia-l4"),
    *("--set", "imagePrePull.pools[0].name=l4,imagePrePull.pools[0].profile=nvidia-l4"),
    *("--set", "operator.namespaces={demo},gateway.tls.secretName=a,gateway.tls.clientCaSecretName=b"),
    *("--set", "gateway.apiKeys.secretName=c,image.pullSecrets[0].name=d"),
)
OWN: Final = ("atheria.dev/", "monitoring.coreos.com/")


def _objects() -> list[Object]:
    text = (MANIFESTS / "install" / "atheria.yaml").read_text(encoding="utf-8")
    return [item for item in yaml.load_all(text, Loader=LOADER) if item]


@cache
def _kustomized(folder: Path) -> list[Object]:
    programs.ensure(programs.KUBE)
    command = [programs.path(programs.KUBE, "kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.load_all(done.stdout, Loader=LOADER) if item]


def _by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}


def _refusals(objects: list[Object], version: str) -> list[str]:
    """What is wrong with objects for a Kubernetes version, unknown fields included."""
    found = []
    for item in objects:
        if item["apiVersion"].startswith(OWN):
            continue
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{item['kind']}/{item['metadata']['name']}: {error.message}")
    return found


def test_all_of_the_chart_is_there_but_hooks_and_definitions() -> None:
    wanted = {
        (item["kind"], item["metadata"]["name"])
        for item in render()
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
        and item["kind"] != "CustomResourceDefinition"
    }
    assert _by_name(_objects()).keys() == wanted | {("Namespace", "atheria-system")}


def test_nothing_says_that_helm_manages_it() -> None:
    assert (
        "Helm" not in (MANIFESTS / "install" / "atheria.yaml").read_text(encoding="utf-8").split("\n", 1)[1]
    )


def test_the_kustomizations_name_every_definition() -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    names = {path.name for path in (MANIFESTS / "crds").glob("*.yaml")}
    assert set(listed) == {f"crds/{name}" for name in names} | {"install/atheria.yaml"}
    assert _by_name(_kustomized(MANIFESTS)) == _by_name(_kustomized(MANIFESTS / "base"))


@CLOUD
def test_an_overlay_makes_what_the_chart_makes_with_the_values_of_that_cloud(cloud: str) -> None:
    def comparable(item: Object) -> Object:
        return generate_manifests._without_helm(item) if isinstance(item, dict) else item

    wanted = {
        name: comparable(item)
        for name, item in _by_name(render("-f", str(CHART / f"values-{cloud}.yaml"))).items()
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
        and item["kind"] != "CustomResourceDefinition"
    }
    found = _by_name(_kustomized(MANIFESTS / "overlays" / cloud))
    assert {name: found[name] for name in wanted} == wanted
    rest = found.keys() - wanted.keys()
    assert {kind for kind, _ in rest} == {"CustomResourceDefinition", "Namespace"}


def test_an_overlay_that_a_patch_cannot_make_is_refused() -> None:
    with pytest.raises(ValueError, match="rules is a list"):
        generate_manifests._patch({"rules": [1]}, {"rules": [2]})


@cache
def _every_object() -> list[Object]:
    """Of the chart with all that can be switched on, and of all overlays; what is equal once."""
    overlays = [
        item for cloud in generate_manifests.CLOUDS for item in _kustomized(MANIFESTS / "overlays" / cloud)
    ]
    texts = {json.dumps(item, sort_keys=True) for item in (*render(*EVERYTHING), *overlays)}
    return [json.loads(text) for text in sorted(texts)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_that_this_kubernetes_version_knows(version: str) -> None:
    assert len(_every_object()) > 30
    assert _refusals(_every_object(), version) == []


def test_the_validator_sees_a_misspelt_field_and_a_wrong_type() -> None:
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"selectr": {}},
    }
    assert "selectr" in _refusals([service], VERSIONS[0])[0]
    assert _refusals([{**service, "spec": {"ports": "80"}}], VERSIONS[0])
