"""What kubectl apply says to wrong models; the API server says it, whether or not the operator runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "min above max",
        {"scaling": {"minReplicas": 4, "maxReplicas": 2}},
        ["spec.scaling", "minReplicas must not be above maxReplicas"],
    ),
    ("unknown field", {"modle": {}}, ['unknown field "spec.modle"']),
    ("unknown nested field", {"scaling": {"minReplica": 1}}, ['unknown field "spec.scaling.minReplica"']),
    (
        "unknown scheme",
        {"model": {"source": "ftp://x/y"}},
        ["spec.model.source", "builtin://NAME or python://package.module:LitAPIClass"],
    ),
    ("no source", {"model": {}}, ["spec.model.source: Required value"]),
    ("wrong digest", {"model": {"source": "builtin://qca", "digest": "sha256:12"}}, ["spec.model.digest"]),
    ("no unit", {"scaling": {"idleTimeout": "60"}}, ["spec.scaling.idleTimeout", "(ms|s|m|h)"]),
    ("too long", {"batching": {"maxLatency": "2m"}}, ["spec.batching.maxLatency", "at most 60s"]),
    ("batch of 0", {"batching": {"maxBatchSize": 0}}, ["maxBatchSize", "greater than or equal to 1"]),
    ("negative replicas", {"replicas": -1}, ["spec.replicas"]),
    ("unknown class", {"scaling": {"class": "magic"}}, ["spec.scaling.class", '"atheria", "external"']),
    ("text for a number", {"hardware": {"count": "two"}}, ["spec.hardware.count", "integer"]),
]


@pytest.mark.parametrize(
    ("change", "words"), [(c, w) for _, c, w in WRONG], ids=[name for name, _, _ in WRONG]
)
def test_a_wrong_spec_is_refused_with_the_field_and_what_is_allowed(
    bare: Any, change: dict[str, Any], words: list[str]
) -> None:
    done = bare.cluster.run("apply", "-f", "-", stdin=json.dumps(bare.manifest(**change)))
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("name", ["1model", "a.b", "x" * 51])
def test_a_name_that_its_services_could_not_have_is_refused(bare: Any, name: str) -> None:
    done = bare.cluster.run("apply", "-f", "-", stdin=json.dumps(bare.manifest(name)))
    assert done.returncode != 0
    assert "DNS label that starts with a letter, of at most 50 characters" in done.stderr


def test_defaults_are_stored_and_explained(bare: Any) -> None:
    shown = bare.kubectl(
        "apply", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(bare.manifest())
    )
    spec = json.loads(shown)["spec"]
    assert spec["replicas"] == 0
    assert spec["scaling"] == {
        "minReplicas": 0,
        "maxReplicas": 1,
        "initialReplicas": 1,
        "metric": "queueDepth",
        "target": 4,
        "idleTimeout": "60s",
        "scaleDownDelay": "30s",
        "class": "atheria",
    }
    text = bare.cluster.kubectl("explain", "am.spec.scaling.idleTimeout")
    assert "Default: 60s" in text


def test_the_scale_subresource_works_on_a_model_that_has_never_had_replicas(bare: Any) -> None:
    bare.apply_model(scaling={"class": "external"})
    bare.kubectl("scale", "am", "qca", "--replicas=3")
    assert bare.model()["spec"]["replicas"] == 3


def test_kubectl_lists_models_by_short_name_and_category(bare: Any) -> None:
    bare.apply_model()
    header = bare.kubectl("get", "am").splitlines()[0].split()
    assert header == ["NAME", "READY", "REASON", "REVISION", "REPLICAS", "URL", "AGE"]
    assert "qca" in bare.kubectl("get", "atheria")
