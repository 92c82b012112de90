"""What a model's pods get to speak TLS, and how others know that they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.certificates.stored import IssuerRef, build_certificate
from atheria_operator.domain.desired.deployment import build_deployment
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.pod_tls import (
    OWN_TLS,
    has_encrypted_pods,
    is_encrypted,
    problem_with_own_certificate,
)
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.desired.services import build_pods_service
from atheria_operator.domain.observed import DEPLOYMENT, Observed
from atheria_operator.domain.pods import report_url, tls_host
from atheria_operator.domain.status.faults import FAULTS
from atheria_operator.runtime.cert_manager import NO_CERT_MANAGER, NOT_READY

Intents = Callable[..., ModelIntent]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_a_pod_has_its_certificate_as_files_and_variables_name_them_only(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    encrypted = build_revision(intent(), cpu, replace(defaults, pod_tls=True))
    spec = encrypted.template["spec"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == "pod-tls"]
    assert volume["secret"]["secretName"] == "qca-pod-tls"
    assert oct(volume["secret"]["defaultMode"]) == "0o440"
    files = [item["path"] for item in volume["secret"]["items"]]
    assert files == [names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE]
    (container,) = spec["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "pod-tls"]
    assert mount["readOnly"]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        name: f"{mount['mountPath']}/{file}"
        for name, file in zip(
            (names.ENV_TLS_CERT_FILE, names.ENV_TLS_KEY_FILE, names.ENV_TLS_CLIENT_CA_FILE),
            files,
            strict=True,
        )
    }
    assert {container[probe]["httpGet"]["scheme"] for probe in PROBES} == {"HTTPS"}


def test_each_issuer_has_secrets_of_its_own_and_a_change_between_them_is_another_revision(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    encrypted = replace(defaults, pod_tls=True)
    own = build_revision(intent(), cpu, encrypted)
    other = build_revision(intent(), cpu, replace(encrypted, has_cert_manager=True))
    (volume,) = [one for one in other.template["spec"]["volumes"] if one["name"] == "pod-tls"]
    issuer = IssuerRef(name="models", kind="Issuer", group="cert-manager.io")
    assert volume["secret"]["secretName"] == build_certificate(intent(), issuer)["spec"]["secretName"]
    assert volume["secret"]["secretName"] != "qca-pod-tls"
    assert own.hash != other.hash
    plain = replace(defaults, has_cert_manager=True)
    assert build_revision(intent(), cpu, plain).hash == build_revision(intent(), cpu, defaults).hash


def test_tls_is_another_revision_and_without_it_pods_are_as_before(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    plain = build_revision(intent(), cpu, defaults)
    assert plain.hash != build_revision(intent(), cpu, replace(defaults, pod_tls=True)).hash
    (container,) = plain.template["spec"]["containers"]
    assert "env" not in container
    assert not [probe for probe in PROBES if "scheme" in container[probe]["httpGet"]]


def test_gateway_operator_and_scrapers_see_which_pods_speak_tls(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    for has_tls in (False, True):
        revision = build_revision(intent(), cpu, replace(defaults, pod_tls=has_tls))
        ports = build_pods_service(intent(), revision)["spec"]["ports"]
        protocols = {port.get("appProtocol") for port in ports}
        assert (protocols == {names.APP_PROTOCOL_TLS}) is has_tls
        deployment = build_deployment(intent(), revision)
        assert is_encrypted(deployment) is has_tls
        assert deployment["spec"]["selector"] == {
            "matchLabels": deployment["spec"]["selector"]["matchLabels"]
        }
        assert names.LABEL_TLS not in deployment["spec"]["selector"]["matchLabels"]
        observed = Observed(children={(DEPLOYMENT, revision.name): deployment})
        assert has_encrypted_pods(observed, intent().uid) is has_tls
        template = deployment["spec"]["template"]
        pod = {"metadata": template["metadata"], "spec": template["spec"], "status": {"podIP": "10.0.0.1"}}
        assert tls_host(pod, intent().key) == ("qca.demo.svc" if has_tls else "")
        assert report_url(pod).startswith("https://" if has_tls else "http://")


def test_a_certificate_of_the_users_own_is_refused_with_what_to_leave_out(intent: Intents) -> None:
    env = [{"name": names.ENV_TLS_CERT_FILE, "value": "/mine.crt"}]
    containers = [{"name": names.CONTAINER_MODEL, "env": env}]
    problem = problem_with_own_certificate(intent(podTemplate={"spec": {"containers": containers}}))
    assert problem is not None
    assert problem.reason == OWN_TLS
    assert "leave the variables ATHERIA_TLS_* out" in problem.message
    beside = [{"name": "sidecar", "env": env}]
    assert problem_with_own_certificate(intent(podTemplate={"spec": {"containers": beside}})) is None
    assert problem_with_own_certificate(intent()) is None


def test_every_reason_is_in_the_table_of_faults() -> None:
    assert {OWN_TLS, NO_CERT_MANAGER, NOT_READY} <= FAULTS.keys()
