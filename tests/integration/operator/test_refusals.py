"""What kubectl apply says to wrong models; the API server says it, whether or not the operator runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/*.yaml"))
WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "min above max",
        {"scaling": {"minReplicas": 4, "maxReplicas": 2}},
        ["spec.scaling", "minReplicas must not be above maxReplicas: lower minReplicas or raise maxReplicas"],
    ),
    ("unknown field", {"modle": {}}, ['unknown field "spec.modle"']),
    ("unknown nested field", {"scaling": {"minReplica": 1}}, ['unknown field "spec.scaling.minReplica"']),
    (
        "unknown scheme",
        {"model": {"source": "ftp://x/y"}},
        ["spec.model.source", "builtin://NAME or python://package.module:LitAPIClass", "s3://BUCKET/KEY"],
    ),
    (
        "password in a source",
        {"model": {"source": "https://user:secret@host/x"}},
        ["spec.model.source", "https://HOST/PATH"],
    ),
    (
        "a way out of the claim",
        {"model": {"source": "pvc://claim/a/../../other"}},
        ["spec.model.source", "source must not have .. as a part of its path"],
    ),
    ("unknown precision", {"precision": {"policy": "int4"}}, ["spec.precision.policy", '"int8", "nf4"']),
    (
        "unknown precision of a group",
        {"precision": {"policy": "hierarchy", "backbone": "auto"}},
        ["spec.precision.backbone", '"fp32", "bf16", "fp16", "int8", "nf4"'],
    ),
    ("no samples", {"precision": {"calibration": {"samples": 0}}}, ["calibration.samples"]),
    ("unknown mode", {"compile": {"mode": "fast"}}, ["spec.compile.mode", '"reduce-overhead"']),
    ("a bucket of 0", {"compile": {"rowBuckets": [0]}}, ["spec.compile.rowBuckets[0]"]),
    ("a hook that is no function", {"warmup": {"hooks": ["os.system"]}}, ["spec.warmup.hooks[0]"]),
    ("a hook for a week", {"warmup": {"hookTimeout": "168h"}}, ["hookTimeout", "at most 24h"]),
    ("an ensemble of one", {"quality": {"ensemble": 1}}, ["spec.quality.ensemble"]),
    ("a negative limit", {"quality": {"limits": {"C4": -1}}}, ["spec.quality.limits.C4"]),
    (
        "a gate that is off",
        {"quality": {"profile": "off"}},
        ["spec.quality", "profile off judges nothing: set allowUnvalidated: true"],
    ),
    (
        "two caches",
        {"cache": {"emptyDir": {}, "hostPath": {"path": "/a"}}},
        ["spec.cache", "at most one of persistentVolumeClaim, hostPath and emptyDir"],
    ),
    (
        "compiled code on an unsigned claim",
        {"cache": {"persistentVolumeClaim": {"claimName": "c"}}, "compile": {"mode": "aot"}},
        ["compiled code is not shared unsigned: set cache.signingSecretName", "compile.mode"],
    ),
    (
        "compiled code on an unsigned folder of the node",
        {"cache": {"hostPath": {"path": "/a"}}, "compile": {"mode": "default"}},
        ["compiled code is not shared unsigned: set cache.signingSecretName"],
    ),
    ("a relative path", {"cache": {"hostPath": {"path": "a"}}}, ["spec.cache.hostPath.path"]),
    ("a claim without a name", {"cache": {"persistentVolumeClaim": {}}}, ["claimName: Required value"]),
    ("a size that is none", {"cache": {"emptyDir": {"sizeLimit": "much"}}}, ["emptyDir.sizeLimit"]),
    (
        "compiled rows that no batch has",
        {"compile": {"rowBuckets": [4, 16]}},
        ["compile.rowBuckets has a size above batching.maxBatchSize", "raise maxBatchSize"],
    ),
    (
        "a cache of keys and values where there are none",
        {"kvCache": {"precision": "int8"}},
        ["kvCache and attention are of text models: set model.runtime: text"],
    ),
    (
        "a kernel of attention where there is none",
        {"attention": {"kernel": "flash"}},
        ["kvCache and attention are of text models: set model.runtime: text"],
    ),
    (
        "a window between two groups",
        {"model": {"source": "builtin://sceneline", "runtime": "text"}, "kvCache": {"recentWindow": 40}},
        ["spec.kvCache", "recentWindow must be below 32 or a multiple of 32"],
    ),
    (
        "an unknown kernel",
        {"model": {"source": "builtin://sceneline", "runtime": "text"}, "attention": {"kernel": "fast"}},
        ["spec.attention.kernel", '"automatic", "standard", "flash"'],
    ),
    ("an encoded dot", {"model": {"source": "https://host/a/%2E%2e/b"}}, ["spec.model.source", "%2e"]),
    (
        "memory in words",
        {"model": {"source": "builtin://qca", "memory": {"weights": "6 GB"}}},
        ["spec.model.memory.weights", "Ki|M|Mi"],
    ),
    ("no source", {"model": {}}, ["spec.model.source: Required value"]),
    ("wrong digest", {"model": {"source": "builtin://qca", "digest": "sha256:12"}}, ["spec.model.digest"]),
    ("no unit", {"scaling": {"idleTimeout": "60"}}, ["spec.scaling.idleTimeout", "(ms|s|m|h)"]),
    ("too long", {"batching": {"maxLatency": "2m"}}, ["spec.batching.maxLatency", "at most 60s"]),
    ("batch of 0", {"batching": {"maxBatchSize": 0}}, ["maxBatchSize", "greater than or equal to 1"]),
    ("negative replicas", {"replicas": -1}, ["spec.replicas"]),
    (
        "unknown class",
        {"scaling": {"class": "magic"}},
        ["spec.scaling.class", '"atheria", "hpa", "keda", "external"'],
    ),
    (
        "a latency that is divided",
        {"scaling": {"class": "hpa", "metric": "latency"}},
        ["metric latency needs class atheria"],
    ),
    ("half a window", {"scaling": {"stableWindow": "5s"}}, ["stableWindow must be from 6s to 1h"]),
    (
        "a window of no length",
        {"scaling": {"schedule": [{"start": "08:00", "end": "08:00", "minReplicas": 1}]}},
        ["start and end must differ"],
    ),
    (
        "a window above the maximum",
        {"scaling": {"schedule": [{"start": "08:00", "end": "18:00", "minReplicas": 2}]}},
        ["schedule[].minReplicas must not be above maxReplicas"],
    ),
    (
        "sleep with a minimum",
        {"scaling": {"minReplicas": 1, "scaleToZero": {"mode": "sleep"}}},
        ["scaleToZero.mode sleep needs minReplicas 0"],
    ),
    (
        "sleep by others' decision",
        {"scaling": {"class": "external", "scaleToZero": {"mode": "sleep"}}},
        ["scaleToZero.mode sleep needs class atheria"],
    ),
    (
        "more in standby than there may be",
        {"scaling": {"scaleToZero": {"mode": "sleep", "standbyReplicas": 2}}},
        ["scaleToZero.standbyReplicas must not be above maxReplicas"],
    ),
    (
        "a time that is none",
        {"scaling": {"schedule": [{"start": "8", "end": "18:00", "minReplicas": 1}]}},
        ["spec.scaling.schedule[0].start"],
    ),
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


@pytest.mark.parametrize(
    "spec",
    [
        {"quality": {"profile": "off", "allowUnvalidated": True}},
        {
            "scaling": {
                "metric": "latency",
                "latencyTarget": "500ms",
                "schedule": [
                    {
                        "days": ["Mon", "Fri"],
                        "start": "22:00",
                        "end": "06:00",
                        "timeZone": "Europe/Madrid",
                        "minReplicas": 1,
                    }
                ],
            }
        },
        {"cache": {"emptyDir": {}}, "compile": {"mode": "aot"}},
        {"cache": {"persistentVolumeClaim": {"claimName": "c"}}},
        {"cache": {"hostPath": {"path": "/a"}, "signingSecretName": "s"}, "compile": {"mode": "aot"}},
        *(
            {"model": {"source": source}}
            for source in (
                "file:///models/a",
                "pvc://claim/folder/a.safetensors",
                "hf:///models/a",
                "hf://owner/Name.1@main",
                "s3://bucket/key",
                "gs://bucket/key",
                "https://host.example:8443/a..b.pt2",
                "oci://registry.example/team/model:1@sha256:ab#weights",
            )
        ),
    ],
    ids=json.dumps,
)
def test_what_is_allowed_is_taken(bare: Any, spec: dict[str, Any]) -> None:
    bare.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(bare.manifest(**spec)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_examples_are_taken(bare: Any, example: Path) -> None:
    bare.kubectl("apply", "--dry-run=server", "-f", str(example))


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
        "latencyTarget": "1s",
        "targetUtilization": 85,
        "stableWindow": "60s",
        "panicWindowPercent": 10,
        "panicThreshold": 2,
        "maxScaleUpRate": 1000,
        "maxScaleDownRate": 2,
        "scaleDownDelay": "30s",
        "idleTimeout": "5m",
        "scaleToZero": {"mode": "delete", "standbyReplicas": 1},
        "keepAlive": "coldStart",
        "waitingUsdPerHour": 20,
        "schedule": [],
        "class": "atheria",
    }
    assert spec["precision"] == {
        "policy": "fp32",
        "encoder": "int8",
        "backbone": "nf4",
        "head": "bf16",
        "compute": "fp32",
        "keepFp32": [],
        "calibration": {"method": "none", "samples": 16},
    }
    assert spec["cache"] == {"signingSecretName": "", "key": "key"}
    for field, words in (
        ("scaling.idleTimeout", "Default: 5m"),
        ("precision.policy", "Default: fp32"),
        ("cache.hostPath", "Pod Security"),
    ):
        assert words in " ".join(bare.cluster.kubectl("explain", f"am.spec.{field}").split())


def test_the_scale_subresource_works_on_a_model_that_has_never_had_replicas(bare: Any) -> None:
    bare.apply_model(scaling={"class": "external"})
    bare.kubectl("scale", "am", "qca", "--replicas=3")
    assert bare.model()["spec"]["replicas"] == 3


def test_kubectl_lists_models_by_short_name_and_category(bare: Any) -> None:
    bare.apply_model()
    header = bare.kubectl("get", "am").splitlines()[0].split()
    assert header == ["NAME", "READY", "REASON", "REVISION", "REPLICAS", "QUEUE", "COST/1K", "URL", "AGE"]
    assert "qca" in bare.kubectl("get", "atheria")
