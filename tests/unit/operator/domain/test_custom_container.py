"""The pod of a container that is not ours: its user's image and arguments on Atheria's hardware, ports, probes and rights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.api.parse import parse_model, parse_profile
from atheria_operator.domain.desired.custom_container import model_variables
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template
from atheria_operator.domain.observed import slim_pod
from atheria_operator.domain.planning.memory import available_bytes
from atheria_operator.domain.pods import in_flight_question, report_url

ROOT = Path(__file__).parents[4]
GIB = 1024**3
Intents = Callable[..., ModelIntent]


@pytest.fixture
def rendered(defaults: ServerDefaults) -> dict[str, Any]:
    """The pod template of examples/vllm on the chart's profile."""
    body = yaml.safe_load((ROOT / "examples/vllm/model.yaml").read_text(encoding="utf-8"))
    body["metadata"] |= {"namespace": "demo", "uid": "u"}
    intent = parse_model(body)
    assert isinstance(intent, ModelIntent), intent
    file = ROOT / f"charts/atheria/files/profiles/{intent.profile}.yaml"
    profile = parse_profile(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert isinstance(profile, HardwareProfile), profile
    return build_pod_template(intent, replace(profile, image="server-cuda:1"), defaults)


def test_the_example_runs_its_own_image_with_its_own_arguments(rendered: dict[str, Any]) -> None:
    (container,) = rendered["spec"]["containers"]
    assert container["image"].startswith("docker.io/vllm/vllm-openai@sha256:")
    assert container["command"] == ["vllm", "serve"]
    assert "--config" not in container["args"]
    variables = {one["name"]: one.get("value") for one in container["env"]}
    assert variables[names.ENV_MODEL] == "Qwen/Qwen2.5-7B-Instruct"
    assert variables[names.ENV_MODEL_REVISION] == "main"
    assert variables[names.ENV_DEVICES] == "1"
    # Kubernetes puts a variable into arguments only where it is defined before.
    assert list(variables)[:3] == [names.ENV_MODEL, names.ENV_MODEL_REVISION, names.ENV_DEVICES]
    used = {word.partition(")")[0] for one in container["args"] for word in one.split("$(")[1:]}
    assert used == {names.ENV_MODEL, names.ENV_MODEL_REVISION, names.ENV_DEVICES}


def test_the_example_has_the_devices_ports_probes_and_volumes_of_a_models_pod(
    rendered: dict[str, Any],
) -> None:
    (container,) = rendered["spec"]["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "grpc": 8001,
        "http": 8000,
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/tmp", "/dev/shm", names.CACHE_DIRECTORY} <= mounts  # noqa: S108 - of the pod
    assert rendered["spec"]["terminationGracePeriodSeconds"] == 620
    assert rendered["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_operator_asks_such_a_pod_for_its_metrics_and_for_nothing_of_our_servers(
    rendered: dict[str, Any],
) -> None:
    whole = {"metadata": rendered["metadata"], "status": {"podIP": "10.0.0.1"}, "spec": rendered["spec"]}
    # As the operator keeps pods in memory.
    pod = slim_pod(whole)
    assert report_url(pod) == ""
    assert in_flight_question(pod) == (
        "http://10.0.0.1:8000/metrics",
        ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    )
    ours = {"metadata": {}, "status": {"podIP": "10.0.0.1"}}
    assert in_flight_question(ours) == ("", ())
    assert report_url(ours) == f"http://10.0.0.1:8000{names.PATH_OPTIMIZATION}"


def test_it_is_another_revision_where_its_probes_or_its_model_are_others(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    def template(custom: dict[str, Any] | None = None, source: str = "hf://a/b@1") -> Any:
        pods = {"spec": {"containers": [{"name": "model", "image": "engine:1"}]}}
        model = {"source": source, "runtime": "custom", **({"custom": custom} if custom else {})}
        return build_pod_template(intent(model=model, podTemplate=pods), cpu, defaults)

    assert template() == template({"readyPath": "/health"})
    others = [
        template({"readyPath": "/x"}),
        template({"inFlightMetrics": ["a"]}),
        template(source="hf://a/b@2"),
    ]
    assert all(one != template() for one in others)
    assert template()["spec"]["containers"][0]["startupProbe"]["failureThreshold"] == 7200


@pytest.mark.parametrize(
    ("source", "model", "revision"),
    [
        ("hf://owner/Name@abc", "owner/Name", "abc"),
        ("hf://owner/Name", "owner/Name", "main"),
        ("hf:///models/a", "/models/a", None),
        ("file:///models/a", "/models/a", None),
        ("pvc://claim/a/b", "/mnt/models/claim/a/b", None),
        ("pvc://claim", "/mnt/models/claim", None),
        ("oci://registry/team/model:1#weights/a", "/mnt/model-image/weights/a", None),
        ("oci://registry/team/model:1", "/mnt/model-image", None),
        ("s3://bucket/key", "s3://bucket/key", None),
    ],
)
def test_the_container_is_told_where_its_model_is(source: str, model: str, revision: str | None) -> None:
    told = model_variables(source)
    assert told[names.ENV_MODEL] == model
    assert told.get(names.ENV_MODEL_REVISION) == revision


def test_a_model_that_is_split_over_devices_has_the_memory_of_all_of_them(intent: Intents) -> None:
    profile = HardwareProfile(name="gpu", resource_name="nvidia.com/gpu", memory_bytes=80 * GIB)
    split = intent(
        model={"source": "hf://a/b", "runtime": "custom"},
        podTemplate={"spec": {"containers": [{"name": "model", "image": "e"}]}},
        hardware={"profile": "gpu", "count": 4},
    )
    assert available_bytes(split, profile) == 320 * GIB
    ours = intent(hardware={"profile": "gpu", "count": 4})
    assert available_bytes(ours, profile) == 80 * GIB
    assert available_bytes(split, replace(profile, memory_bytes=None)) is None
