"""The definitions on a real API server: familiar names, hardware profiles, and what `kubectl explain` tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.familiar import FIELDS, FamiliarField

MANIFESTS = Path(__file__).parents[3] / "manifests"
_VALUES = {"object": {"a": "b"}, "array": [{"a": "b"}], "scalar": "1"}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_a_field_of_kserve_or_knative_is_refused_with_the_right_one(bare: Any, field: FamiliarField) -> None:
    manifest = bare.manifest()
    *parents, name = field.path.split(".")
    node = manifest["spec"]
    for parent in parents:
        node = node.setdefault(parent, {})
    node[name] = _VALUES[field.kind]
    done = bare.cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    assert done.returncode != 0
    assert f"spec.{field.path}: " in done.stderr
    assert field.instead in done.stderr


PROFILES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    ("the name auto", "auto", {}, ["metadata.name must not be auto", "cheapest", "use another name"]),
    (
        "a slice and a whole GPU",
        "p",
        {"resourceName": "nvidia.com/mig-1g.10gb", "resources": {"limits": {"nvidia.com/gpu": 1}}},
        ["resources must not name a device", "nvidia.com/mig-1g.10gb", "never both"],
    ),
    (
        "a device twice",
        "p",
        {"resourceName": "amd.com/gpu", "resources": {"requests": {"amd.com/gpu": "1"}}},
        ["resources must not name a device"],
    ),
    ("no quantity", "p", {"resources": {"limits": {"memory": "much"}}}, ["spec.resources.limits.memory"]),
    ("no domain", "p", {"resourceName": "gpu"}, ["spec.resourceName"]),
    (
        "no label",
        "p",
        {"nodeAlternatives": [{"labels": {}}]},
        ["spec.nodeAlternatives[0].labels", "at least 1"],
    ),
    ("no value", "p", {"nodeAlternatives": [{"labels": {"a": []}}]}, ["at least 1 items"]),
    ("a price that is none", "p", {"price": {"usdPerHour": "cheap"}}, ["spec.price.usdPerHour"]),
    ("a price without a number", "p", {"price": {"source": "x"}}, ["usdPerHour: Required value"]),
    ("an unknown field", "p", {"memoryGib": 4}, ['unknown field "spec.memoryGib"']),
]


@pytest.mark.parametrize(
    ("name", "spec", "words"), [row[1:] for row in PROFILES], ids=[row[0] for row in PROFILES]
)
def test_a_wrong_profile_is_refused_with_the_field_and_what_is_allowed(
    cluster: Any, name: str, spec: dict[str, Any], words: list[str]
) -> None:
    done = cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(_profile(name, spec)))
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr


def test_slices_spot_and_alternatives_are_taken(cluster: Any) -> None:
    spec = {
        "resourceName": "nvidia.com/mig-1g.10gb",
        "memoryGiB": 9,
        "spot": True,
        "nodeAlternatives": [{"labels": {"nvidia.com/gpu.product": ["A", "B"], "zone": ["c"]}}],
        "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "2.5Gi"}},
    }
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(_profile("slices", spec)))


def test_the_server_explains_every_field_of_both_kinds_in_its_own_words(cluster: Any) -> None:
    document = json.loads(cluster.kubectl("get", "--raw", f"/openapi/v3/apis/{names.API_VERSION}"))
    schemas = document["components"]["schemas"]
    told = 0
    for kind in (names.MODEL_KIND, names.PROFILE_KIND):
        schema = schemas[f"dev.atheria.{names.VERSION}.{kind}"]
        for path, field in _fields(schema["properties"]["spec"], "spec"):
            assert field.get("description"), f"{kind}.{path} says nothing"
            told += 1
    assert told > 100


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("am.spec.hardware.profile", "or auto: the cheapest whose memory the model fits"),
        ("am.spec.model.memory.weights", "Weights in fp32 (4 bytes a parameter)"),
        ("am.spec.scaling", "How many pods"),
        ("am.spec.predictor", "AtheriaModel has no spec.predictor: set spec.model.source"),
        ("ahp.spec.nodeAlternatives.labels", "Values by label"),
        ("ahp.spec.memoryGiB", "in GiB"),
        ("am.status.hardware.neededBytes", "Bytes of memory on one device"),
    ],
)
def test_kubectl_explain_tells_unit_and_meaning(cluster: Any, path: str, words: str) -> None:
    assert words in " ".join(cluster.kubectl("explain", path).split())


def test_profiles_are_listed_with_what_a_chooser_compares(cluster: Any) -> None:
    lines = cluster.kubectl("get", "ahp").splitlines()
    assert lines[0].split() == ["NAME", "RESOURCE", "GIB", "USD/H", "SPOT", "AGE"]
    assert any(line.split()[:4] == ["nvidia-l4", "nvidia.com/gpu", "22", "0.44"] for line in lines)
    assert "atheriahardwareprofile.atheria.dev/nvidia-l4" in cluster.kubectl("get", "atheria", "-o", "name")


def _profile(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.PROFILE_KIND,
        "metadata": {"name": name},
        "spec": spec,
    }


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in (schema.get("properties") or {}).items():
        yield f"{path}.{name}", field
        yield from _fields(field, f"{path}.{name}")
        yield from _fields(field.get("items") or {}, f"{path}.{name}[]")


def test_the_manifests_install_by_kustomize_and_the_samples_are_taken(cluster: Any, bare: Any) -> None:
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-k", str(MANIFESTS))
    samples = sorted((MANIFESTS / "samples").glob("*.yaml"))
    assert len(samples) >= 4
    for sample in samples:
        bare.kubectl("apply", "--dry-run=server", "-f", str(sample))
