"""What the chart installs is what the programs and the other halves expect."""

from __future__ import annotations

import dataclasses
from itertools import takewhile
from pathlib import Path

import pytest
import yaml

from atheria_contract import names
from atheria_gateway.settings import Settings, settings_from
from atheria_gateway.xds.tls import TlsFiles
from tests.contract.chart import CHART, ROOT, containers, helm, one, pod_specs, refused, render

LOCAL = ("-f", str(CHART / "values-local.yaml"))
OVERLAYS = pytest.mark.parametrize("arguments", [(), LOCAL], ids=["defaults", "local"])
SHUTDOWN_S = 5
"""What a process may take to end once it has nothing more to do."""


@OVERLAYS
def test_the_chart_passes_helms_own_lint(arguments: tuple[str, ...]) -> None:
    outcome = helm("lint", "--strict", str(CHART), *arguments)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_services_have_the_ports_of_the_contract() -> None:
    objects = render()
    gateway = one(objects, "Service", "atheria-gateway")["spec"]["ports"]
    operator = one(objects, "Service", "atheria-operator")["spec"]["ports"]
    assert {port["name"]: port["port"] for port in gateway} == {
        names.PORT_NAME_GRPC: names.PORT_GRPC,
        names.PORT_NAME_HTTP: names.PORT_HTTP,
    }
    assert {port["name"]: port["port"] for port in operator} == {
        "demand": names.PORT_DEMAND,
        "metrics": names.PORT_METRICS,
    }


def test_every_named_target_port_is_a_port_of_a_container_that_the_service_selects() -> None:
    objects = render()
    for component in ("operator", "gateway"):
        service = one(objects, "Service", f"atheria-{component}")["spec"]
        template = one(objects, "Deployment", f"atheria-{component}")["spec"]["template"]
        assert service["selector"].items() <= template["metadata"]["labels"].items()
        ports = {
            port["name"]: port["containerPort"]
            for container in template["spec"]["containers"]
            for port in container.get("ports", [])
        }
        assert {port["targetPort"]: port["port"] for port in service["ports"]}.items() <= ports.items()


def test_the_operator_gets_the_environment_of_the_contract() -> None:
    pod = pod_specs(render(*LOCAL, "--set", "server.image.tag=abc"))["Deployment/atheria-operator"]
    environment = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert environment[names.ENV_SERVER_IMAGE] == "localhost/atheria/server:abc"
    assert environment["ATHERIA_IMAGE_PULL_POLICY"] == "Never"
    assert environment["ATHERIA_UPGRADES_AT_ONCE"] == "1"
    assert {names.ENV_POD_NAME, names.ENV_POD_NAMESPACE} <= environment.keys()


def test_the_activator_reports_demand_to_the_operators_service() -> None:
    pod = pod_specs(render())["Deployment/atheria-gateway"]
    activator = next(c for c in pod["containers"] if c["name"] == "activator")
    environment = {entry["name"]: entry.get("value") for entry in activator["env"]}
    target = f"atheria-operator.atheria-system.svc:{names.PORT_DEMAND}"
    assert environment[names.ENV_DEMAND_TARGET] == target
    assert {names.ENV_POD_NAME, names.ENV_POD_NAMESPACE, names.ENV_POD_IP} <= environment.keys()


def test_the_gateways_values_reach_its_settings() -> None:
    objects = render(
        *("--set", "gateway.hold.maxCalls=77", "--set", "gateway.hold.maxBytes=300000000"),
        *("--set", "gateway.tls.secretName=cert", "--set", "gateway.tls.clientCaSecretName=authority"),
        *("--set", "gateway.apiKeys.secretName=keys", "--set", "gateway.apiKeys.forward=true"),
        *("--set", "gateway.cors.allowedOrigins={https://a.example,http://b:3000}"),
        *("--set", "gateway.accessLog=all", "--set", "gateway.livePage.enabled=true"),
    )
    pod = pod_specs(objects)["Deployment/atheria-gateway"]
    for container in containers(pod):
        if container["name"] == "envoy":
            continue
        environment = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        settings = settings_from(environment)
        assert (settings.hold_limit, settings.hold_bytes, settings.hold_s) == (77, 300_000_000, 300)
        assert settings.tls == TlsFiles(
            certificate="/etc/atheria/tls/tls.crt",
            key="/etc/atheria/tls/tls.key",
            client_authority="/etc/atheria/client-ca/ca.crt",
        )
        assert (settings.api_keys_file, settings.forwards_keys) == ("/etc/atheria/api-keys/keys", True)
        assert settings.cors_origins == ("https://a.example", "http://b:3000")
        assert settings.access_log == "all"
        assert settings.has_live_page
    envoy = next(one for one in pod["containers"] if one["name"] == "envoy")
    mounted = {one["mountPath"] for one in envoy["volumeMounts"]}
    assert {"/etc/atheria/tls", "/etc/atheria/client-ca", "/etc/atheria/api-keys"} <= mounted
    assert {one["name"] for one in envoy["volumeMounts"]} <= {one["name"] for one in pod["volumes"]}
    probes = {envoy[kind]["httpGet"]["port"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"health"}
    assert {"name": "health", "containerPort": names.PORT_GATEWAY_HEALTH} in envoy["ports"]


def test_operator_and_gateway_share_the_standby_key_and_without_one_nobody_has_it() -> None:
    pods = pod_specs(render("--set", "standby.secretName=standby"))
    for name, container in (("operator", "operator"), ("gateway", "activator")):
        pod = pods[f"Deployment/atheria-{name}"]
        found = next(one for one in pod["containers"] if one["name"] == container)
        environment = {entry["name"]: entry.get("value") for entry in found["env"]}
        (mount,) = [one for one in found["volumeMounts"] if one["name"] == "standby"]
        assert environment[names.ENV_STANDBY_KEY_FILE] == f"{mount['mountPath']}/key"
        assert mount["readOnly"]
        volume = next(one for one in pod["volumes"] if one["name"] == "standby")
        assert volume["secret"] == {"secretName": "standby"}
    for pod in pod_specs(render()).values():
        assert "standby" not in {volume["name"] for volume in pod.get("volumes") or ()}


def test_the_gateways_default_values_are_its_default_settings() -> None:
    pod = pod_specs(render())["Deployment/atheria-gateway"]
    activator = next(one for one in pod["containers"] if one["name"] == "activator")
    environment = {entry["name"]: entry["value"] for entry in activator["env"] if "value" in entry}
    settings, defaults = settings_from(environment), Settings()
    assert dataclasses.replace(settings, demand_target="") == defaults
    memory = next(one for one in activator["env"] if one["name"] == "ATHERIA_ENVOY_MEMORY_BYTES")
    assert memory["valueFrom"]["resourceFieldRef"] == {"containerName": "envoy", "resource": "limits.memory"}


@pytest.mark.parametrize(
    "value",
    [
        "gateway.tls.clientCaSecretName=authority",
        "gateway.cors.allowedOrigins={lab.example}",
        "gateway.hold.callerShare=2",
        "gateway.hold.maxBytes=5",
        "gateway.accessLog=some",
    ],
)
def test_values_that_the_gateway_would_refuse_are_refused_by_the_schema(value: str) -> None:
    assert value.partition("=")[0].rpartition(".")[0].replace(".", "/") in refused("--set", value).replace(
        "'", ""
    )


def test_envoy_ends_while_the_activator_hands_calls_back_and_both_end_before_they_are_killed() -> None:
    pod = pod_specs(render())["Deployment/atheria-gateway"]
    delay = {c["name"]: c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in pod["containers"]}
    activator = next(c for c in pod["containers"] if c["name"] == "activator")
    environment = {entry["name"]: entry.get("value") for entry in activator["env"]}
    drained = delay["activator"] + int(environment["ATHERIA_DRAIN_SECONDS"])
    ended = drained + Settings().hand_back_s
    # The held calls that are handed back have to reach their callers, and who comes until then has to get an answer.
    assert drained < delay["envoy"] < ended
    assert pod["terminationGracePeriodSeconds"] >= ended + SHUTDOWN_S


def test_the_local_overlay_publishes_the_forwarded_node_ports_from_one_gateway() -> None:
    objects = render(*LOCAL)
    service = one(objects, "Service", "atheria-gateway")["spec"]
    assert service["type"] == "NodePort"
    assert {port["name"]: port["nodePort"] for port in service["ports"]} == {"grpc": 30801, "http": 30800}
    assert one(objects, "Deployment", "atheria-gateway")["spec"]["replicas"] == 1
    assert not [item for item in objects if item["kind"] == "PodDisruptionBudget"]


def test_there_is_never_a_second_operator_beside_the_first() -> None:
    spec = one(render(), "Deployment", "atheria-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


@OVERLAYS
def test_every_pod_is_one_that_the_restricted_level_admits(arguments: tuple[str, ...]) -> None:
    pods = pod_specs(render(*arguments))
    assert pods.keys() == {
        "Deployment/atheria-operator",
        "Deployment/atheria-gateway",
        "Job/atheria-uninstall",
    }
    for name, pod in pods.items():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] == 65532, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, (name, container["name"])
            assert context["readOnlyRootFilesystem"] is True, (name, container["name"])
            assert context["capabilities"] == {"drop": ["ALL"]}, (name, container["name"])
            assert container["resources"]["limits"]["memory"], (name, container["name"])


def test_every_long_running_container_has_its_probes() -> None:
    for name, pod in pod_specs(render()).items():
        if name.startswith("Deployment/"):
            for container in pod["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name


def test_no_rule_has_a_wildcard_or_reaches_secrets_or_other_rules() -> None:
    roles = [item for item in render() if item["kind"] in ("ClusterRole", "Role")]
    assert roles
    for role in roles:
        for rule in role["rules"]:
            entries = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert not [entry for entry in entries if "*" in entry], (role["metadata"]["name"], rule)
            assert not entries & {
                "secrets",
                "pods/exec",
                "rbac.authorization.k8s.io",
                "escalate",
                "bind",
                "impersonate",
            }


def _allowed(role: str) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in one(render(), "ClusterRole", role)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_gateway_may_wake_models_and_change_nothing_else_of_them() -> None:
    writes = {entry for entry in _allowed("atheria-gateway") if entry[2] not in ("get", "list", "watch")}
    assert writes == {
        (names.GROUP, "atheriamodels/scale", "patch"),
        ("apps", "deployments/scale", "patch"),
        ("discovery.k8s.io", "endpointslices", "create"),
        ("discovery.k8s.io", "endpointslices", "patch"),
    }


def test_the_operator_may_write_what_it_makes_for_a_model() -> None:
    needed = {
        (group, resource, verb)
        for group, resource in (
            ("apps", "deployments"),
            ("", "services"),
            ("", "configmaps"),
            ("", "serviceaccounts"),
        )
        for verb in ("get", "list", "watch", "create", "patch", "delete")
    }
    status = {(names.GROUP, f"{names.MODEL_PLURAL}/{part}", "patch") for part in ("status", "scale")}
    assert needed | status <= _allowed("atheria-operator")


def test_the_hardware_profiles_are_in_the_config_map_that_the_init_container_applies() -> None:
    data = one(render(), "ConfigMap", "atheria-profiles")["data"]
    profiles = [yaml.safe_load(text) for text in data.values()]
    assert {profile["metadata"]["name"] for profile in profiles} == {
        "cpu",
        "nvidia-l4",
        "nvidia-l40s",
        "nvidia-a100-40gb",
        "nvidia-a100-80gb",
        "nvidia-h100",
        "nvidia-h200",
    }
    for profile in profiles:
        assert (profile["apiVersion"], profile["kind"]) == (names.API_VERSION, names.PROFILE_KIND)
        if price := profile["spec"].get("price"):
            assert {"source", "date"} <= price.keys()


def _definitions(*arguments: str) -> list[dict[str, object]]:
    return [item for item in render(*arguments) if item["kind"] == "CustomResourceDefinition"]


def test_the_definitions_in_the_chart_are_the_generated_ones() -> None:
    def read(folder: Path) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}

    generated = read(ROOT / "manifests" / "crds")
    assert len(generated) == 2, "manifests/crds: run `make generate`"
    assert read(CHART / "files" / "crds") == generated, (
        "run `cp manifests/crds/*.yaml charts/atheria/files/crds/`"
    )


def test_the_definitions_are_kept_on_uninstall_unless_told_otherwise() -> None:
    kept = [item["metadata"]["annotations"] for item in _definitions()]  # type: ignore[index]
    assert len(kept) == 2
    assert all(annotations["helm.sh/resource-policy"] == "keep" for annotations in kept)
    for item in _definitions("--set", "crds.keep=false"):
        assert "helm.sh/resource-policy" not in item["metadata"]["annotations"]  # type: ignore[index]
    assert not _definitions("--set", "crds.enabled=false")


@pytest.mark.parametrize(("keep", "models"), [("true", "keep"), ("false", "delete")])
def test_the_uninstall_job_deletes_models_only_when_their_definition_goes_too(keep: str, models: str) -> None:
    pod = pod_specs(render("--set", f"crds.keep={keep}"))["Job/atheria-uninstall"]
    assert f"--models={models}" in pod["containers"][0]["command"]


def test_the_uninstall_job_and_its_rights_run_before_anything_is_removed() -> None:
    hooks = [item for item in render() if item["metadata"]["name"] == "atheria-uninstall"]
    assert {item["kind"] for item in hooks} == {
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "Job",
    }
    assert {item["metadata"]["annotations"]["helm.sh/hook"] for item in hooks} == {"pre-delete"}
    weights = {item["kind"]: int(item["metadata"]["annotations"]["helm.sh/hook-weight"]) for item in hooks}
    assert all(weights["Job"] > weight for kind, weight in weights.items() if kind != "Job")


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("operator.imagee=x", "imagee"),
        ("crds.keeep=true", "keeep"),
        ("nonsense=1", "nonsense"),
        ("gateway.replicas=0", "replicas"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
    ],
)
def test_an_unknown_or_impossible_value_is_refused_by_name(value: str, word: str) -> None:
    assert word in refused("--set", value)


def test_every_value_is_described() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key, _, value = line.strip().partition(":")
        if line.lstrip().startswith("#") or not value.strip() or key in ("requests", "limits"):
            continue
        above = list(
            takewhile(lambda text: text.startswith("#"), (text.strip() for text in reversed(lines[:number])))
        )
        assert any(text.startswith("# --") for text in above), (
            f"values.yaml:{number + 1} {key} has no `# --` line"
        )


def test_a_second_release_has_its_own_names() -> None:
    objects = render("--set", "fullnameOverride=other,crds.enabled=false")
    assert all(item["metadata"]["name"].startswith("other-") for item in objects)
