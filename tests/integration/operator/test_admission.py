"""The chart's admission policies, pre-pull DaemonSets and placeholders on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_operator.api.parse import parse_profile
from atheria_operator.domain.planning.placement import build_node_affinity, build_tolerations
from tests.contract.chart import CHART, SYSTEM_NAMESPACE, one, refused, render
from tests.integration.operator.harness import eventually

RULES = {
    "admissionPolicies": {
        "refuseForeignAnnotations": True,
        "rules": [
            {
                "name": "team",
                "namespaceSelector": {"matchLabels": {"team": "a"}},
                "sources": ["builtin://*", "s3://models-a/*", "oci://registry.example/*", "python://ours:Api"],
                "registries": ["registry.example/a/*", "exact.example/b:1"],
                "profiles": ["cpu", "nvidia-l4"],
            },
            {"name": "plain", "namespaceSelector": {"matchLabels": {"team": "plain"}}, "podTemplate": "Forbidden"},
        ],
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Writes chart values to a file and returns the arguments for Helm."""

    def write(given: dict[str, Any]) -> tuple[str, str]:
        path = tmp_path_factory.mktemp("values") / "values.yaml"
        path.write_text(json.dumps(given), encoding="utf-8")
        return "--values", str(path)

    return write


@pytest.fixture(scope="module")
def policies(cluster: Any, values: Any) -> Iterator[None]:
    """The policies of RULES, in force."""
    objects = [
        item
        for item in render(*values(RULES))
        if item["metadata"]["labels"].get("app.kubernetes.io/component") == "admission"
    ]
    assert len(objects) == 7
    cluster.apply(*objects)
    yield
    for item in objects:
        cluster.kubectl("delete", item["kind"], item["metadata"]["name"], "-n", SYSTEM_NAMESPACE)


@pytest.fixture
def team(bare: Any, policies: None) -> Any:
    """A namespace of team a, once the rules are enforced there."""
    return _labelled(bare, "a", hardware={"profile": "nvidia-h200"})


def _labelled(space: Any, team: str, **forbidden: Any) -> Any:
    space.cluster.kubectl("label", "namespace", space.name, f"team={team}")
    eventually(f"the rules for team {team}", lambda: _apply(space, **forbidden).returncode != 0)
    return space


def _apply(space: Any, **spec: Any) -> Any:
    manifest = json.dumps(space.manifest(**spec))
    return space.cluster.run("apply", "--dry-run=server", "-f", "-", stdin=manifest)


def _pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "model", **container}]}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"model": {"source": "s3://models-b/x"}},
            ["spec.model.source is s3://models-b/x", "use one of builtin://*, s3://models-a/*"],
        ),
        ({"model": {"source": "python://ours:Api2"}}, ["spec.model.source is python://ours:Api2"]),
        ({"hardware": {"profile": "nvidia-h200"}}, ["spec.hardware.profile is nvidia-h200", "use one of cpu, nvidia-l4"]),
        ({"hardware": {"profile": "auto"}}, ["spec.hardware.profile is auto"]),
        ({"podTemplate": _pod(image="evil.example/x:1")}, ["image evil.example/x:1", "registry.example/a/*"]),
        ({"podTemplate": _pod(image="exact.example/b:1.2")}, ["image exact.example/b:1.2"]),
        (
            {"podTemplate": {"spec": {"initContainers": [{"name": "i", "image": "busybox"}]}}},
            ["image busybox", "ask whoever runs the cluster"],
        ),
        (
            {"podTemplate": {"spec": {"volumes": [{"name": "v", "image": {"reference": "evil.example/v"}}]}}},
            ["image evil.example/v"],
        ),
        ({"model": {"source": "oci://registry.example/b/m:1#x"}}, ["image registry.example/b/m:1"]),
        (
            {"podTemplate": _pod(resources={"limits": {"nvidia.com/gpu": 8}})},
            ["container model in spec.podTemplate asks for a device", "set spec.hardware.profile to one of cpu"],
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_a_namespace_may_not_use_is_refused_with_what_it_may(
    team: Any, spec: dict[str, Any], words: list[str]
) -> None:
    done = _apply(team, **spec)
    assert done.returncode != 0
    for word in (*words, f"namespace {team.name} may not"):
        assert word in done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"model": {"source": "s3://models-a/x/y"}},
        {"model": {"source": "python://ours:Api"}},
        {"model": {"source": "oci://registry.example/a/m:1#x"}},
        {"hardware": {"profile": "nvidia-l4"}},
        {"podTemplate": _pod(image="registry.example/a/b:1", resources={"limits": {"memory": "1Gi"}})},
    ],
    ids=json.dumps,
)
def test_what_a_namespace_may_use_is_taken(team: Any, spec: dict[str, Any]) -> None:
    done = _apply(team, **spec)
    assert done.returncode == 0, done.stderr


def test_a_namespace_without_the_label_is_free(team: Any, cluster: Any) -> None:
    cluster.kubectl("label", "namespace", team.name, "team-")
    eventually(
        "the end of the rules", lambda: _apply(team, hardware={"profile": "nvidia-h200"}).returncode == 0
    )


def test_a_forbidden_pod_template_is_refused_and_an_empty_one_is_not(bare: Any, policies: None) -> None:
    plain = _labelled(bare, "plain", podTemplate=_pod())
    assert "spec.podTemplate is set, which namespace" in _apply(plain, podTemplate=_pod()).stderr
    assert _apply(plain, podTemplate={}).returncode == 0


def test_a_model_from_before_the_rule_can_be_labelled_and_deleted_but_not_changed(
    bare: Any, policies: None
) -> None:
    bare.apply_model(hardware={"profile": "nvidia-h200"}, scaling={"initialReplicas": 0})
    _labelled(bare, "a", hardware={"profile": "nvidia-h200"}, model={"source": "builtin://qca"})
    bare.kubectl("label", "am", "qca", "x=y")
    bare.kubectl("patch", "am", "qca", "--type=merge", "-p", '{"metadata": {"finalizers": ["a.b/c"]}}')
    change = '{"spec": {"batching": {"maxBatchSize": 2}}}'
    done = bare.cluster.run("patch", "am", "qca", "-n", bare.name, "--type=merge", "-p", change)
    assert "may not use" in done.stderr
    bare.kubectl("delete", "am", "qca", "--wait=false")
    bare.kubectl("patch", "am", "qca", "--type=merge", "-p", '{"metadata": {"finalizers": []}}')
    eventually("the model's end", lambda: bare.cluster.find("am", "qca", "-n", bare.name) is None)


def test_an_annotation_of_knative_is_refused_at_apply_with_the_field_to_use(
    bare: Any, policies: None
) -> None:
    def annotated(key: str) -> Any:
        manifest = bare.manifest()
        manifest["metadata"]["annotations"] = {key: "1"}
        return bare.cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))

    eventually("the policy", lambda: annotated("serving.kserve.io/stop").returncode != 0)
    assert (
        "autoscaling.knative.dev/min-scale, which Atheria does not obey: set spec.scaling.minReplicas"
        in annotated("autoscaling.knative.dev/min-scale").stderr
    )
    assert "does not obey: remove it" in annotated("serving.knative.dev/other").stderr
    assert annotated("example.com/x").returncode == 0


POOLS = {
    "imagePrePull": {
        "pools": [
            {"name": "l4", "profile": "nvidia-l4"},
            {"name": "own", "images": ["r.example/a:1", "r.example/b:2"], "nodeSelector": {"pool": "own"}},
        ]
    },
    "placeholders": {
        "pools": [
            {"name": "a100", "profile": "nvidia-a100-80gb", "replicas": 2},
            {"name": "own", "resources": {"requests": {"cpu": "2"}}, "tolerations": [{"operator": "Exists"}]},
        ]
    },
}


def test_without_pools_there_is_neither_a_daemon_nor_a_placeholder() -> None:
    kinds = {item["kind"] for item in render()}
    assert not kinds & {"DaemonSet", "PriorityClass", "ValidatingAdmissionPolicy"}


def test_pools_are_taken_by_the_api_server(cluster: Any, values: Any) -> None:
    objects = [
        item for item in render(*values(POOLS)) if _component(item).startswith(("pre-pull", "placeholder"))
    ]
    assert sorted(item["kind"] for item in objects) == [
        "DaemonSet", "DaemonSet", "Deployment", "Deployment", "PriorityClass",
    ]  # fmt: skip
    # The class first: pods that name an unknown one are refused, Deployments are not.
    items = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(items))


@pytest.mark.parametrize(
    "profile", sorted(path.stem for path in (CHART / "files" / "profiles").glob("*.yaml"))
)
def test_a_pool_of_a_profile_goes_where_the_models_of_that_profile_go(values: Any, profile: str) -> None:
    pool = {"name": "p", "profile": profile}
    objects = render(*values({"placeholders": {"pools": [pool]}, "imagePrePull": {"pools": [pool]}}))
    path = Path(CHART / "files" / "profiles" / f"{profile}.yaml")
    parsed: Any = parse_profile(yaml.safe_load(path.read_text(encoding="utf-8")))
    wanted = build_node_affinity(parsed)
    for kind, name in (("Deployment", "atheria-placeholder-p"), ("DaemonSet", "atheria-pre-pull-p")):
        spec = one(objects, kind, name)["spec"]["template"]["spec"]
        assert spec.get("affinity", {}).get("nodeAffinity", {}) == wanted
        assert spec.get("tolerations", []) == build_tolerations(parsed)
    resources = one(objects, "Deployment", "atheria-placeholder-p")["spec"]["template"]["spec"]["containers"][
        0
    ]["resources"]
    if parsed.resource_name:
        assert resources["limits"][parsed.resource_name] == resources["requests"][parsed.resource_name] == "1"
    assert resources["limits"]["memory"] == parsed.resources["limits"]["memory"]


def test_a_daemon_holds_every_image_and_asks_for_no_gpu(values: Any) -> None:
    spec = one(render(*values(POOLS)), "DaemonSet", "atheria-pre-pull-own")["spec"]["template"]["spec"]
    assert [container["image"] for container in spec["containers"]] == ["r.example/a:1", "r.example/b:2"]
    for container in spec["containers"]:
        assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]
        assert set(container["resources"]["limits"]) == {"memory"}


def test_a_placeholder_gives_way_to_every_pod_and_still_brings_a_node(values: Any) -> None:
    objects = render(*values(POOLS))
    assert one(objects, "PriorityClass", "atheria-placeholder")["value"] == -10
    deployment = one(objects, "Deployment", "atheria-placeholder-a100")["spec"]
    assert deployment["replicas"] == 2
    spec = deployment["template"]["spec"]
    assert (spec["priorityClassName"], spec["terminationGracePeriodSeconds"]) == ("atheria-placeholder", 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"placeholders": {"pools": [{"name": "a", "profile": "tpu"}]}}, 'names profile "tpu", which the chart does not ship'),
        ({"placeholders": {"pools": [{"name": "a"}]}}, "asks for nothing keeps nothing free"),
        ({"placeholders": {"pools": [{"nam": "a"}]}}, "nam"),
        ({"admissionPolicies": {"rules": [{"name": "a", "action": "Log"}]}}, "action"),
    ],
)  # fmt: skip
def test_a_pool_or_a_rule_that_cannot_work_is_refused_by_helm(values: Any, given: Any, words: str) -> None:
    assert words in refused(*values(given))


def _component(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))
