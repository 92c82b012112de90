"""podTls: nothing of it by default, the same files in gateway and operator by either mode, and no key in any rendered object."""

from __future__ import annotations

import json

import pytest

from atheria_contract import names
from atheria_operator import settings
from atheria_operator.domain.certificates.stored import client_secret
from atheria_operator.domain.gateway_rollout import GATEWAY_VOLUME
from atheria_operator.runtime.own_authority import authority_secret
from tests.contract.chart import SYSTEM_NAMESPACE, Object, one, pod_specs, refused, render
from tests.contract.test_chart_monitoring import WITH_CRD

INTERNAL = ("--set", "podTls.mode=internal")
CERT_MANAGER = ("--set", "podTls.mode=cert-manager,podTls.certManager.issuerRef.name=models")
FILES = [names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE]
modes = pytest.mark.parametrize("arguments", [INTERNAL, CERT_MANAGER], ids=["internal", "cert-manager"])


def environment(pod: Object, container: str) -> dict[str, str]:
    (found,) = [item for item in pod["containers"] if item["name"] == container]
    return {entry["name"]: entry.get("value", "") for entry in found["env"]}


def volume(pod: Object) -> Object | None:
    return next((item for item in pod["volumes"] if item["name"] == GATEWAY_VOLUME), None)


def test_by_default_calls_to_pods_are_plain_and_nothing_of_it_is_rendered() -> None:
    objects = render()
    assert not [item for item in objects if item["kind"] == "Secret"]
    for pod in pod_specs(objects).values():
        assert volume(pod) is None if pod.get("volumes") else True
    told = environment(pod_specs(objects)["Deployment/atheria-operator"], "operator")
    assert not {name for name in told if "POD_TLS" in name}
    assert settings.read_settings(told).pod_tls is None


@modes
def test_every_container_of_a_gateway_pod_has_the_files_and_waits_for_all_three(
    arguments: tuple[str, ...],
) -> None:
    pod = pod_specs(render(*arguments))["Deployment/atheria-gateway"]
    found = volume(pod)
    assert found is not None
    wanted = client_secret("atheria", is_cert_managers=arguments == CERT_MANAGER)
    assert found["secret"]["secretName"] == wanted
    assert [item["key"] for item in found["secret"]["items"]] == FILES
    directory = environment(pod, "activator")[names.ENV_POD_TLS_DIRECTORY]
    for container in [*pod["initContainers"], *pod["containers"]]:
        (mount,) = [item for item in container["volumeMounts"] if item["name"] == GATEWAY_VOLUME]
        assert (mount["mountPath"], mount["readOnly"]) == (directory, True)


@modes
def test_the_operator_reads_what_the_chart_tells_it(arguments: tuple[str, ...]) -> None:
    pod = pod_specs(render(*arguments, "--set", "podTls.models=false"))["Deployment/atheria-operator"]
    told = environment(pod, "operator") | {names.ENV_POD_NAMESPACE: SYSTEM_NAMESPACE}
    found = settings.read_settings(told).pod_tls
    assert found is not None
    assert (found.name, found.for_models) == ("atheria", False)
    if arguments == INTERNAL:
        # It makes what it shows itself, and could not start where it waited for it.
        assert (found.issuer, volume(pod)) == (None, None)
    else:
        assert found.issuer is not None
        assert (found.issuer.name, found.issuer.kind) == ("models", "ClusterIssuer")
        mounted = volume(pod)
        assert mounted is not None
        assert mounted["secret"]["secretName"] == client_secret("atheria", is_cert_managers=True)


def test_the_operators_secrets_are_made_empty_and_those_of_cert_manager_are_its_own() -> None:
    made = {item["metadata"]["name"]: item for item in render(*INTERNAL) if item["kind"] == "Secret"}
    assert made.keys() == {authority_secret("atheria"), client_secret("atheria")}
    assert not [item for item in made.values() if "data" in item or "stringData" in item]
    objects = render(*CERT_MANAGER)
    assert not [item for item in objects if item["kind"] == "Secret"]
    # Neither mode finds what the other left under a name of its own.
    name = client_secret("atheria", is_cert_managers=True)
    spec = one(objects, "Certificate", name)["spec"]
    assert spec["secretName"] == name
    assert spec["usages"] == ["digital signature", "client auth"]
    assert "PRIVATE KEY" not in json.dumps(objects)


def test_without_an_issuer_cert_manager_is_refused_with_what_to_set() -> None:
    message = refused("--set", "podTls.mode=cert-manager")
    assert "podTls.certManager.issuerRef.name is empty" in message
    assert "use mode internal" in message


POLICY = "atheria-pod-certificates"


def policies(*arguments: str) -> list[Object]:
    return [item for item in render(*arguments) if item["metadata"]["name"] == POLICY]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        INTERNAL,
        (*CERT_MANAGER, "--set", "podTls.certManager.policy.enabled=false"),
        # Whose usages this policy knows nothing of.
        (*CERT_MANAGER, "--set", "podTls.certManager.issuerRef.kind=Issuer"),
        (*CERT_MANAGER, "--set", "podTls.certManager.issuerRef.group=awspca.cert-manager.io"),
    ],
)
def test_the_issuer_is_bounded_where_it_is_a_cluster_issuer_of_cert_managers_own(
    arguments: tuple[str, ...],
) -> None:
    policy, binding = policies(*CERT_MANAGER)
    assert (binding["spec"]["policyName"], binding["spec"]["validationActions"]) == (POLICY, ["Deny"])
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert policies(*arguments) == []


def test_the_bound_names_the_issuer_the_releases_namespace_and_cert_managers_account() -> None:
    account = "system:serviceaccount:pki:cm"
    policy, _ = policies(*CERT_MANAGER, "--set", f"podTls.certManager.policy.requester={account}")
    (condition,) = policy["spec"]["matchConditions"]
    assert "object.spec.issuerRef.name == 'models' &&" in condition["expression"]
    request, usages, *_ = (item["expression"] for item in policy["spec"]["validations"])
    assert request.endswith(f"request.userInfo.username == '{account}'")
    assert f"request.namespace == '{SYSTEM_NAMESPACE}' && variables.usages ==" in usages


def test_scrapes_go_by_https_to_the_pods_that_say_so_and_to_no_others() -> None:
    (plain,) = one(render(*WITH_CRD), "PodMonitor", "atheria-models")["spec"]["podMetricsEndpoints"]
    assert not plain.keys() & {"relabelings", "tlsConfig", "scheme"}
    (found,) = one(render(*WITH_CRD, *INTERNAL), "PodMonitor", "atheria-models")["spec"][
        "podMetricsEndpoints"
    ]
    (rule,) = found["relabelings"]
    label = names.LABEL_TLS.replace(".", "_").replace("/", "_")
    assert rule["sourceLabels"] == [f"__meta_kubernetes_pod_label_{label}"]
    assert (rule["regex"], rule["targetLabel"], rule["replacement"]) == (
        names.TLS_MUTUAL,
        "__scheme__",
        "https",
    )
