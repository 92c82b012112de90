"""What an applied model becomes, and that it stays so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from atheria_contract.serving import parse_serving_config
from tests.integration.operator.harness import eventually


def test_an_applied_model_becomes_a_deployment_two_services_a_config_map_and_an_account(space: Any) -> None:
    space.apply_model(batching={"maxBatchSize": 4, "maxLatency": "20ms"}, warmup={"shapes": [[16, 8, 8]]})
    revision = space.wait_active()
    deployment = space.get("deployment", revision)
    assert deployment["metadata"]["labels"][names.LABEL_MODEL] == "qca"
    assert deployment["metadata"]["labels"][names.LABEL_REVISION] == revision.removeprefix("qca-")
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["name"] == names.CONTAINER_MODEL
    assert container["args"] == ["serve", "--config", "/etc/atheria/model.json"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "512Mi"}
    assert pod["serviceAccountName"] == "qca"
    config = parse_serving_config(space.get("configmap", revision)["data"][names.CONFIG_FILE])
    assert (config.name, config.source, config.max_batch_size) == ("qca", "builtin://echo", 4)
    assert (config.max_latency_seconds, config.warmup_shapes) == (0.02, ((16, 8, 8),))
    pods_service = space.get("service", revision)
    assert pods_service["spec"]["clusterIP"] == "None"
    assert pods_service["metadata"]["labels"][names.LABEL_ROLE] == names.ROLE_PODS
    gateway_service = space.get("service", "qca")
    assert "selector" not in gateway_service["spec"]
    assert gateway_service["metadata"]["labels"][names.LABEL_ROLE] == names.ROLE_GATEWAY
    assert [port["port"] for port in gateway_service["spec"]["ports"]] == [names.PORT_GRPC, names.PORT_HTTP]
    model = space.model()
    for kind, name in (("deployment", revision), ("configmap", revision), ("serviceaccount", "qca")):
        owner = space.get(kind, name)["metadata"]["ownerReferences"][0]
        assert (owner["uid"], owner["controller"]) == (model["metadata"]["uid"], True)
    assert model["status"]["url"] == f"qca.{space.name}:8001"


def test_slices_of_the_pods_carry_the_labels_by_which_the_gateway_finds_them(space: Any) -> None:
    space.apply_model()
    revision = space.wait_active()

    def slices() -> list[Any] | None:
        selector = f"{names.LABEL_ROLE}={names.ROLE_PODS},{names.LABEL_MODEL}=qca"
        return space.get("endpointslices", "-l", selector)["items"] or None

    found = eventually("EndpointSlices of the pods", slices)
    assert found[0]["metadata"]["labels"][names.LABEL_REVISION] == revision.removeprefix("qca-")


def test_a_pod_with_accelerators_asks_for_them_and_the_users_template_is_merged(space: Any) -> None:
    space.apply_model(
        hardware={"profile": "nvidia-l4", "count": 2},
        podTemplate={
            "metadata": {"annotations": {"team": "physics"}},
            "spec": {
                "nodeSelector": {"zone": "a"},
                "containers": [{"name": "model", "env": [{"name": "A", "value": "1"}]}],
            },
        },
    )
    template = space.get("deployment", space.wait_active())["spec"]["template"]
    pod = template["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    assert pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["nodeSelector"] == {"zone": "a"}
    assert template["metadata"]["annotations"] == {"team": "physics"}
    assert "nodeAffinity" in pod["affinity"]


def test_a_model_made_cheaper_gets_its_sections_its_cache_and_the_key_as_a_file(space: Any) -> None:
    space.apply_model(
        model={"source": "pvc://weights/law"},
        precision={"policy": "hierarchy", "keepFp32": ["law.out"]},
        compile={"mode": "aot", "rowBuckets": [1, 8]},
        quality={"profile": "strict", "limits": {"C4": 0.015}},
        warmup={"shapes": [[16, 8, 8]], "hooks": ["pkg.warm:up"]},
        cache={"persistentVolumeClaim": {"claimName": "cache"}, "signingSecretName": "signer"},
    )
    revision = space.wait_active()
    config = parse_serving_config(space.get("configmap", revision)["data"][names.CONFIG_FILE])
    assert (config.precision.policy, config.precision.keep_fp32) == ("hierarchy", ("law.out",))
    assert (config.compile.mode, config.compile.row_buckets) == ("aot", (1, 8))
    assert (config.quality.profile, config.quality.limits) == ("strict", {"C4": 0.015})
    assert config.warmup.hooks == ("pkg.warm:up",)
    assert config.cache.is_shared
    pod = space.get("deployment", revision)["spec"]["template"]["spec"]
    container = pod["containers"][0]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {
        "/tmp",  # noqa: S108 - in the pod
        "/etc/atheria",
        config.cache.directory,
        str(Path(config.cache.key_file).parent),
        "/mnt/models/weights",
    }
    assert mounts["/mnt/models/weights"]["readOnly"] is True
    assert "env" not in container
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "cache"}
    assert volumes["cache-key"]["secret"]["secretName"] == "signer"
    # What is stored is what was asked for: nothing is applied a second time.
    version = space.get("deployment", revision)["metadata"]["generation"]
    space.kubectl("annotate", "am", "qca", "touched=1")
    space.wait_condition("Accepted", "True")
    assert space.get("deployment", revision)["metadata"]["generation"] == version


@pytest.mark.parametrize(
    "spec",
    [
        {"cache": {"persistentVolumeClaim": {"claimName": "c"}, "signingSecretName": "s"}},
        {"cache": {"emptyDir": {"sizeLimit": "1Gi"}}},
        {"model": {"source": "pvc://weights/law"}},
        {"model": {"source": "oci://registry.example/model:1#law"}},
    ],
    ids=["claim and key", "empty", "model on a claim", "model in an image"],
)
def test_a_restricted_namespace_takes_the_pods(space: Any, spec: dict[str, Any]) -> None:
    space.cluster.kubectl("label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted")
    space.apply_model(**spec)
    space.wait_pods(space.wait_active())


def test_a_restricted_namespace_refuses_a_folder_of_the_node_in_its_own_words(space: Any) -> None:
    space.cluster.kubectl("label", "namespace", space.name, "pod-security.kubernetes.io/enforce=restricted")
    space.apply_model(cache={"hostPath": {"path": "/var/cache/models"}})
    assert "hostPath" in space.wait_condition("Ready", "False", "PodRefused")["message"]


@pytest.mark.parametrize(
    "kind", ["deployment", "pods service", "gateway service", "configmap", "serviceaccount"]
)
def test_a_deleted_child_is_made_again(space: Any, kind: str) -> None:
    space.apply_model()
    revision = space.wait_active()
    word = kind.rsplit(maxsplit=1)[-1]
    name = "qca" if kind in ("gateway service", "serviceaccount") else revision
    uid = space.get(word, name)["metadata"]["uid"]
    space.kubectl("delete", word, name, "--wait=false")
    eventually(
        f"another {kind}",
        lambda: (
            (found := space.cluster.find(word, name, "-n", space.name)) and found["metadata"]["uid"] != uid
        ),
    )


@pytest.mark.parametrize(
    ("kind", "patch", "path"),
    [
        (
            "deployment",
            [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}],
            ("spec", "template", "spec", "containers", 0, "image"),
        ),
        (
            "service",
            [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}],
            ("spec", "ports", 0, "targetPort"),
        ),
        ("configmap", [{"op": "replace", "path": "/data/model.json", "value": "{}"}], ("data", "model.json")),
        (
            "deployment",
            [{"op": "remove", "path": "/metadata/labels/atheria.dev~1model"}],
            ("metadata", "labels", names.LABEL_MODEL),
        ),
    ],
    ids=["deployment", "service", "config map", "label"],
)
def test_a_changed_child_is_put_right(
    space: Any, kind: str, patch: list[dict[str, Any]], path: tuple[str | int, ...]
) -> None:
    space.apply_model()
    revision = space.wait_active()

    def value() -> Any:
        found = space.get(kind, revision)
        for part in path:
            found = found.get(part) if isinstance(found, dict) else found[int(part)]
        return found

    right = value()
    space.kubectl("patch", kind, revision, "--type=json", "-p", json.dumps(patch))
    eventually(f"the right {path} of {kind}", lambda: value() == right)


def test_a_repair_leaves_the_number_of_pods_alone(space: Any) -> None:
    space.apply_model(scaling={"minReplicas": 0, "maxReplicas": 5, "initialReplicas": 3})
    revision = space.wait_active()
    space.wait_replicas("deployment", revision, 3)
    space.kubectl("label", "deployment", revision, f"{names.LABEL_PART_OF}=other", "--overwrite")
    eventually(
        "the right label",
        lambda: space.get("deployment", revision)["metadata"]["labels"][names.LABEL_PART_OF] == "atheria",
    )
    assert space.replicas("deployment", revision) == 3


def test_an_object_of_somebody_else_under_the_models_name_is_not_taken(space: Any) -> None:
    space.kubectl("create", "service", "clusterip", "qca", "--tcp=80")
    space.apply_model()
    found = space.wait_condition("Accepted", "False", "NameConflict")
    assert f"Service {space.name}/qca" in found["message"]
    assert space.get("service", "qca")["spec"]["ports"][0]["port"] == 80
    space.kubectl("delete", "service", "qca")
    space.apply_model(concurrency={"maxQueueDepth": 7})
    space.wait_condition("Accepted", "True")


def test_a_deleted_model_takes_its_objects_along(space: Any) -> None:
    space.apply_model()
    space.wait_active()
    space.kubectl("delete", "am", "qca", "--timeout=20s")

    def nothing() -> bool:
        kinds = "deployments,services,configmaps,serviceaccounts,pods"
        return not space.get(kinds, "-l", f"{names.LABEL_MODEL}=qca")["items"]

    eventually("no object of the model", nothing)


def test_a_model_of_the_same_name_right_after_a_deletion_gets_its_own_objects(space: Any) -> None:
    space.apply_model()
    space.wait_active()
    space.kubectl("delete", "am", "qca", "--timeout=20s")
    space.apply_model()
    revision = space.wait_active()
    uid = space.model()["metadata"]["uid"]
    eventually(
        "a Deployment of the new model",
        lambda: (
            (found := space.cluster.find("deployment", revision, "-n", space.name))
            and found["metadata"]["ownerReferences"][0]["uid"] == uid
        ),
    )
