"""Values of the chart: the schema is that of the types, values.yaml has each key once, and wrong files are refused in words that help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from tests.contract.chart import CHART, helm, one, pod_specs, refused, render
from tools import chart_values, generate_values

CLOUDS: Final = ("gke", "eks", "aks", "ovh", "nvidia-gfd")


class Wrong(NamedTuple):
    """A values file that helm must refuse."""

    text: str
    key: str
    """Where the message says that it is."""
    allowed: tuple[str, ...]
    """What the message says is allowed."""


NO_SUCH_KEY: Final = "no such key; the keys here are"
WRONG: Final = (
    # Keys that do not exist, at every depth.
    Wrong("replicas: 3", "/replicas", (NO_SUCH_KEY, "operator", "gateway")),
    Wrong("image: {repo: x}", "/image/repo", (NO_SUCH_KEY, "registry", "pullSecrets")),
    Wrong("crds: {install: true}", "/crds/install", (NO_SUCH_KEY, "enabled, keep")),
    Wrong("rbac: {enabled: true}", "/rbac/enabled", (NO_SUCH_KEY, "create")),
    Wrong("operator: {replicas: 2}", "/operator/replicas", (NO_SUCH_KEY, "upgradesAtOnce")),
    Wrong("operator: {image: {name: x}}", "/operator/image/name", (NO_SUCH_KEY, "repository, tag, digest")),
    Wrong("operator: {resources: {limit: {}}}", "/operator/resources/limit", (NO_SUCH_KEY, "requests, limits")),
    Wrong("gateway: {replicaCount: 2}", "/gateway/replicaCount", (NO_SUCH_KEY, "replicas, autoscaling")),
    Wrong("gateway: {tls: {enabled: true}}", "/gateway/tls/enabled", (NO_SUCH_KEY, "secretName, clientCaSecretName")),
    Wrong("gateway: {hold: {max: 5}}", "/gateway/hold/max", (NO_SUCH_KEY, "maxCalls", "callerShare")),
    Wrong("gateway: {livePage: {shown: true}}", "/gateway/livePage/shown", (NO_SUCH_KEY, "enabled")),
    Wrong("gateway: {service: {nodePorts: {rest: 1}}}", "/gateway/service/nodePorts/rest", (NO_SUCH_KEY, "grpc, http")),
    Wrong("server: {replicas: 1}", "/server/replicas", (NO_SUCH_KEY, "image")),
    Wrong("alerts: {rules: []}", "/alerts/rules", (NO_SUCH_KEY, "disabled, budgets")),
    Wrong("alerts: {budgets: {usd: 1}}", "/alerts/budgets/usd", (NO_SUCH_KEY, "modelUsdPerDay, totalUsdPerDay")),
    Wrong("podTls: {enabled: true}", "/podTls/enabled", (NO_SUCH_KEY, "mode, models, certManager")),
    Wrong("podTls: {certManager: {issuer: x}}", "/podTls/certManager/issuer", (NO_SUCH_KEY, "issuerRef, policy")),
    Wrong("monitoring: {serviceMonitor: true}", "/monitoring/serviceMonitor", (NO_SUCH_KEY, "enabled, kind, interval, labels")),
    Wrong("networkPolicy: {allow: []}", "/networkPolicy/allow", (NO_SUCH_KEY, "scrapers", "callers")),
    Wrong("hardwareProfiles: {overrides: {l4: {}}}", "/hardwareProfiles/overrides/l4", (NO_SUCH_KEY, "nvidia-l4")),
    Wrong("hardwareProfiles: {overrides: {nvidia-l4: {taints: []}}}", "/hardwareProfiles/overrides/nvidia-l4/taints",
          (NO_SUCH_KEY, "nodeAlternatives", "tolerations")),
    Wrong("hardwareProfiles: {overrides: {nvidia-l4: {price: {usd: 1}}}}", "/hardwareProfiles/overrides/nvidia-l4/price/usd",
          (NO_SUCH_KEY, "usdPerHour, source, date")),
    Wrong("imagePrePull: {pools: [{name: a, image: x}]}", "/imagePrePull/pools/0/image", (NO_SUCH_KEY, "images")),
    Wrong("admissionPolicies: {rules: [{name: a, source: []}]}", "/admissionPolicies/rules/0/source", (NO_SUCH_KEY, "sources")),
    Wrong("tracing: {sampler: all}", "/tracing/sampler", (NO_SUCH_KEY, "endpoint, protocol, samplingRatio")),
    # Words out of a list.
    Wrong("image: {pullPolicy: always}", "/image/pullPolicy", ("'Always', 'IfNotPresent', 'Never'",)),
    Wrong("monitoring: {kind: podMonitor}", "/monitoring/kind", ("'PodMonitor', 'ServiceMonitor'",)),
    Wrong("gateway: {accessLog: errors}", "/gateway/accessLog", ("'all', 'problems', 'off'",)),
    Wrong("gateway: {service: {type: Ingress}}", "/gateway/service/type", ("'ClusterIP', 'NodePort', 'LoadBalancer'",)),
    Wrong("podTls: {mode: mtls}", "/podTls/mode", ("'plain', 'internal', 'cert-manager'",)),
    Wrong("alerts: {disabled: [NoGpu]}", "/alerts/disabled/0", ("'AtheriaNoGpu'",)),
    Wrong("hardwareProfiles: {names: [l4]}", "/hardwareProfiles/names/0", ("'cpu', 'nvidia-l4'",)),
    Wrong("admissionPolicies: {rules: [{name: a, action: Block}]}", "/admissionPolicies/rules/0/action", ("'Deny', 'Warn', 'Audit'",)),
    Wrong("tracing: {protocol: thrift}", "/tracing/protocol", ("'grpc', 'http/protobuf'",)),
    Wrong("logFormat: yaml", "/logFormat", ("'text', 'json'",)),
    # Numbers out of bounds.
    Wrong("gateway: {replicas: 0}", "/gateway/replicas", ("want 1",)),
    Wrong("gateway: {autoscaling: {maxReplicas: 5000}}", "/gateway/autoscaling/maxReplicas", ("want 1,000",)),
    Wrong("gateway: {hold: {callerShare: 2}}", "/gateway/hold/callerShare", ("want 1",)),
    Wrong("gateway: {service: {nodePorts: {grpc: 70000}}}", "/gateway/service/nodePorts/grpc", ("want 65,535",)),
    Wrong("operator: {upgradesAtOnce: 0}", "/operator/upgradesAtOnce", ("want 1",)),
    Wrong("uninstall: {timeoutSeconds: 5}", "/uninstall/timeoutSeconds", ("want 30",)),
    Wrong("alerts: {budgets: {queueFillRatio: 80}}", "/alerts/budgets/queueFillRatio", ("want 1",)),
    Wrong("networkPolicy: {apiServerPorts: []}", "/networkPolicy/apiServerPorts", ("want 1",)),
    Wrong("tracing: {samplingRatio: 5}", "/tracing/samplingRatio", ("want 1",)),
    # Types.
    Wrong("crds: {keep: 'yes'}", "/crds/keep", ("want boolean",)),
    Wrong("gateway: {replicas: two}", "/gateway/replicas", ("want integer",)),
    Wrong("operator: {namespaces: team-a}", "/operator/namespaces", ("want array",)),
    Wrong("image: {pullSecrets: [my-registry]}", "/image/pullSecrets/0", ("want object",)),
    Wrong("operator: {nodeSelector: {gpu: true}}", "/operator/nodeSelector/gpu", ("want string",)),
    # Texts that mean nothing, and what belongs together.
    Wrong("operator: {namespaces: [Team_A]}", "/operator/namespaces/0", ("a-z0-9",)),
    Wrong("server: {image: {digest: latest}}", "/server/image/digest", ("sha256:[0-9a-f]{64}",)),
    Wrong("tracing: {endpoint: otel-collector:4317}", "/tracing/endpoint", ("https?://",)),
    Wrong("monitoring: {interval: soon}", "/monitoring/interval", ("(ms|s|m|h)",)),
    Wrong("gateway: {tls: {clientCaSecretName: ca}}", "/gateway/tls/secretName", ("want 1",)),
    Wrong("placeholders: {pools: [{profile: cpu}]}", "/placeholders/pools/0", ("missing property 'name'",)),
)  # fmt: skip


def test_there_are_forty_wrong_files_and_more() -> None:
    assert len({wrong.text for wrong in WRONG}) >= 40


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.key)
def test_a_wrong_values_file_is_refused_with_its_key_and_what_is_allowed(
    wrong: Wrong, tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(wrong.text, encoding="utf-8")
    said = refused("-f", str(file))
    assert f"at '{wrong.key}': " in said
    line = next(line for line in said.splitlines() if f"at '{wrong.key}'" in line)
    for words in wrong.allowed:
        assert words in line


def test_values_that_contradict_each_other_are_refused_by_name() -> None:
    said = refused("--set", "gateway.autoscaling.enabled=true,gateway.autoscaling.minReplicas=20")
    assert "gateway.autoscaling.minReplicas is 20, above gateway.autoscaling.maxReplicas 10" in said


def _paths(node: Any, path: str = "") -> Iterator[str]:
    for name, value in node.items():
        inner = f"{path}.{name}" if path else name
        yield inner
        if isinstance(value, dict):
            yield from _paths(value, inner)


def _keys_of_types(model: type[chart_values.Section], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = f"{path}.{name}" if path else name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, chart_values.Section):
            yield from _keys_of_types(kind, inner)
        elif field.is_required():
            yield inner


def test_values_yaml_has_every_key_of_the_types_with_a_description_and_passes() -> None:
    values = yaml.safe_load(generate_values.VALUES.read_text(encoding="utf-8"))
    chart_values.Values.model_validate(values, strict=True)
    described = generate_values.descriptions()
    for key in _keys_of_types(chart_values.Values):
        assert key in set(_paths(values)), f"values.yaml has no {key}"
        assert any(key == path or key.startswith(f"{path}.") for path in described), (
            f"{key} has no `# --` line"
        )


def test_every_alert_and_profile_name_of_the_types_is_a_file_of_the_chart() -> None:
    assert set(chart_values.PROFILES) == {path.stem for path in (CHART / "files" / "profiles").glob("*.yaml")}


def test_another_chart_may_have_this_one_in_it() -> None:
    assert helm("template", str(CHART), "--set", "global.anything=1").returncode == 0


def _profiles(*arguments: str) -> dict[str, Any]:
    data = one(render(*arguments), "ConfigMap", "atheria-profiles")["data"]
    return {name.removesuffix(".yaml"): yaml.safe_load(text)["spec"] for name, text in data.items()}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_pools_of_a_cloud_are_found_by_its_labels_alone_and_cost_what_the_profile_says(
    cloud: str,
) -> None:
    shipped, found = _profiles(), _profiles("-f", str(CHART / f"values-{cloud}.yaml"))
    assert found.keys() <= shipped.keys()
    assert {"cpu", "nvidia-a100-80gb", "nvidia-h100"} <= found.keys()
    own = {
        "gke": {"cloud.google.com/gke-accelerator"},
        "eks": {
            "karpenter.k8s.aws/instance-gpu-name",
            "karpenter.k8s.aws/instance-gpu-memory",
            "node.kubernetes.io/instance-type",
        },
        "aks": {"node.kubernetes.io/instance-type"},
        "ovh": {"nvidia.com/gpu.product"},
        "nvidia-gfd": {"nvidia.com/gpu.product", "nvidia.com/gpu.family", "nvidia.com/gpu.memory"},
    }[cloud]
    seen: list[dict[str, Any]] = []
    for name, spec in found.items():
        if name == "cpu":
            continue
        for alternative in spec["nodeAlternatives"]:
            assert alternative["labels"].keys() <= own, name
            assert alternative["labels"] not in seen, f"{name}: another profile has these labels too"
            seen.append(alternative["labels"])
        assert any(one["key"] == "nvidia.com/gpu" for one in spec["tolerations"]), name
        kept = shipped[name].keys() - {"nodeAlternatives", "tolerations"}
        assert {key: spec[key] for key in kept} == {key: shipped[name][key] for key in kept}


def test_a_changed_profile_starts_the_operator_anew_and_a_price_is_replaced_as_a_whole() -> None:
    value = 'hardwareProfiles.overrides={"nvidia-l4": {"price": {"usdPerHour": "0.60"}, "tolerations": []}}'
    spec = _profiles("--set-json", value)["nvidia-l4"]
    assert (spec["price"], spec["tolerations"]) == ({"usdPerHour": "0.60"}, [])
    key = "checksum/profiles"
    checksums = {
        one(render(*arguments), "Deployment", "atheria-operator")["spec"]["template"]["metadata"][
            "annotations"
        ][key]
        for arguments in ((), ("--set-json", value))
    }
    assert len(checksums) == 2


def test_placeholders_and_pre_pulls_go_to_the_nodes_of_the_changed_profile() -> None:
    pool = "placeholders.pools[0].name=l4,placeholders.pools[0].profile=nvidia-l4"
    objects = render("-f", str(CHART / "values-gke.yaml"), "--set", pool)
    pod = pod_specs(objects)["Deployment/atheria-placeholder-l4"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert [expression["key"] for term in terms for expression in term["matchExpressions"]] == [
        "cloud.google.com/gke-accelerator"
    ]


def test_pull_secrets_are_those_of_every_pod() -> None:
    secret = "image.pullSecrets[0].name=mine"
    pool = "imagePrePull.pools[0].name=a,placeholders.pools[0].name=a,placeholders.pools[0].profile=cpu"
    objects = render("--set", f"{secret},{pool}")
    workloads = [item for item in objects if item["kind"] in ("Deployment", "Job", "DaemonSet")]
    assert len(workloads) == 5
    for item in workloads:
        assert item["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "mine"}], item["metadata"][
            "name"
        ]


def test_the_page_names_every_value_and_what_is_allowed() -> None:
    page = generate_values.render_page()
    assert re.search(
        r"^\| `image.pullPolicy` \| `\"IfNotPresent\"` \| `Always`, `IfNotPresent`, `Never` \|",
        page,
        re.MULTILINE,
    )
    assert "| `gateway.replicas` | `2` | from 1 to 100 |" in page
    for key in _keys_of_types(chart_values.Values):
        assert any(f"| `{path}` |" in page for path in (key, key.rpartition(".")[0])), key
