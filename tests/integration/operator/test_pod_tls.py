"""Certificates of model pods on a real API server: made by the operator with the chart's rights, mounted, renewed, and switched on safely."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from atheria_contract import names
from atheria_operator import settings
from atheria_operator.domain.certificates.stored import ANNOTATION_ENDS
from atheria_operator.domain.gateway_rollout import GATEWAY_VOLUME
from bench.installation import rendered_rights
from tests.integration.operator.harness import SYSTEM_NAMESPACE, Namespace, OperatorProcess, eventually

DAY_SECONDS = 86_400
AUTHORITY, CLIENT = "atheria-pod-authority", "atheria-pod-client"


class Release:
    """The chart's rights and Secrets for one namespace, with podTls.mode internal, and a gateway's Deployment without pods."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self.before = ""
        """The plain revision of the model `running`."""
        self._folder = folder
        self.space = Namespace(cluster, f"tls-{uuid.uuid4().hex[:8]}")
        cluster.kubectl("create", "namespace", self.space.name)
        values = [f"operator.namespaces={{{self.space.name}}}", "podTls.mode=internal"]
        found = rendered_rights("operator-rbac", "gateway-rbac", "pod-tls", values=values)
        self._objects = [item for item in found if item["kind"] != "Deployment"]
        cluster.apply(*self._objects)
        self.gateway()

    def gateway(self, *, has_certificate: bool = False) -> None:
        """Its Deployment; pods that were told to go have a second."""
        volumes = [{"name": GATEWAY_VOLUME, "secret": {"secretName": CLIENT}}] if has_certificate else []
        self.cluster.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "atheria-gateway", "namespace": SYSTEM_NAMESPACE},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": {"app": "gateway"}},
                    "template": {
                        "metadata": {"labels": {"app": "gateway"}},
                        "spec": {
                            "terminationGracePeriodSeconds": 1,
                            "containers": [{"name": "envoy", "image": "gateway"}],
                            "volumes": volumes,
                        },
                    },
                },
            }
        )

    def operator(self, *, for_models: str = "on") -> OperatorProcess:
        """Not started."""
        return OperatorProcess(
            self._folder,
            self.cluster.kubeconfig_of_the_operator(self._folder / "kubeconfig", "atheria-operator"),
            **{
                settings.ENV_NAMESPACES: self.space.name,
                settings.ENV_POD_TLS_MODE: "internal",
                settings.ENV_POD_TLS_NAME: "atheria",
                settings.ENV_POD_TLS_MODELS: for_models,
            },
        )

    def secret(self, name: str, namespace: str = "") -> dict[str, bytes]:
        """Its entries, once it has a certificate or, of the authority, an authority."""

        def look() -> dict[str, bytes] | None:
            found = self.cluster.find("secret", name, "-n", namespace or self.space.name)
            return (found or {}).get("data") or None

        return {
            key: base64.b64decode(value)
            for key, value in eventually(f"Secret {name} with data", look).items()
        }

    def revision(self, model: str, *, is_encrypted: bool) -> str:
        """Name of a revision of the model whose pods speak TLS, or do not, once there is one."""

        def look() -> str | None:
            for one in self.space.get("deployments", "-l", f"{names.LABEL_MODEL}={model}")["items"]:
                labels = one["spec"]["template"]["metadata"]["labels"]
                if (labels.get(names.LABEL_TLS) == names.TLS_MUTUAL) is is_encrypted:
                    return str(one["metadata"]["name"])
            return None

        return eventually(f"a revision of {model} with is_encrypted={is_encrypted}", look)

    def remove(self) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": self._objects}
        self.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", stdin=json.dumps(items))
        self.cluster.kubectl("delete", "deployment", "atheria-gateway", "-n", SYSTEM_NAMESPACE)
        self.cluster.kubectl("delete", "namespace", self.space.name, "--wait=false")


@pytest.fixture
def release(cluster: Any, operator: Any, tmp_path: Path) -> Iterator[Release]:
    """With the model `running` of the operator of all namespaces, which knows nothing of TLS; then it rests: there is one Lease."""
    made = Release(cluster, tmp_path)
    try:
        made.space.apply_model("running")
        made.before = made.space.wait_active("running")
        # A first start comes before anything that the release changes.
        made.space.make_ready(made.before)
        made.space.wait_condition("Ready", "True", name="running")
        operator.terminate()
        yield made
    finally:
        made.remove()
        if not operator.is_running:
            operator.start()


def leaf(data: dict[str, bytes]) -> x509.Certificate:
    """The certificate of a Secret, which one of the authorities beside it has signed."""
    found = x509.load_pem_x509_certificate(data[names.TLS_CERT_FILE])
    authorities = x509.load_pem_x509_certificates(data[names.TLS_CA_FILE])
    (signer,) = [one for one in authorities if one.subject == found.issuer]
    found.verify_directly_issued_by(signer)
    return found


def purposes(certificate: x509.Certificate) -> list[Any]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def hosts(certificate: x509.Certificate) -> list[str]:
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return alternatives.get_values_for_type(x509.DNSName)


def template(release: Release, revision: str) -> dict[str, Any]:
    found: dict[str, Any] = release.space.get("deployment", revision)["spec"]["template"]
    return found


def foreign(namespace: str) -> dict[str, Any]:
    metadata = {"name": "taken-pod-tls", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": "mine"}}


def make_old(space: Any, secret: str) -> None:
    soon = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 29 * DAY_SECONDS))
    space.kubectl("annotate", "secret", secret, "--overwrite", f"{ANNOTATION_ENDS}={soon}")


def test_new_models_get_a_certificate_running_ones_when_every_gateway_pod_has_one_and_all_are_renewed(
    release: Release,
) -> None:
    space = release.space
    before = release.before
    operator = release.operator()
    operator.start()
    try:
        space.apply_model("fresh")
        revision = space.wait_active("fresh")
        data = release.secret("fresh-pod-tls")
        certificate = leaf(data)
        assert hosts(certificate) == [names.pod_host(space.name, "fresh")]
        assert purposes(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
        left_seconds = certificate.not_valid_after_utc.timestamp() - time.time()
        assert 89 * DAY_SECONDS < left_seconds <= 90 * DAY_SECONDS
        pods = template(release, revision)
        assert pods["metadata"]["labels"][names.LABEL_TLS] == names.TLS_MUTUAL
        (volume,) = [one for one in pods["spec"]["volumes"] if one["name"] == "pod-tls"]
        assert volume["secret"]["secretName"] == "fresh-pod-tls"
        (container,) = pods["spec"]["containers"]
        assert {
            container[f"{kind}Probe"]["httpGet"]["scheme"] for kind in ("startup", "readiness", "liveness")
        } == {"HTTPS"}
        ports = space.get("service", revision)["spec"]["ports"]
        assert {port["appProtocol"] for port in ports} == {names.APP_PROTOCOL_TLS}
        gateways = leaf(release.secret(CLIENT, SYSTEM_NAMESPACE))
        assert purposes(gateways) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert data[names.TLS_CA_FILE] in release.secret(AUTHORITY, SYSTEM_NAMESPACE).values()
        # A gateway pod without a certificate could not call its pods, if it changed now.
        assert space.model("running")["status"]["activeRevision"] == before
        assert names.LABEL_TLS not in template(release, before)["metadata"]["labels"]
        release.gateway(has_certificate=True)
        assert release.revision("running", is_encrypted=True) != before
        assert hosts(leaf(release.secret("running-pod-tls"))) == [names.pod_host(space.name, "running")]
        with urllib.request.urlopen(
            f"http://127.0.0.1:{operator.metrics_port}/metrics", timeout=60
        ) as answer:
            line = next(
                one
                for one in answer.read().decode().splitlines()
                if one.startswith(names.METRIC_CERTIFICATE_EXPIRY)
            )
        assert 89 * DAY_SECONDS < float(line.split()[-1]) - time.time() <= 90 * DAY_SECONDS
        assert "PRIVATE KEY" not in operator.log
        space.apply_model("broken")
        space.wait_active("broken")
        release.secret("broken-pod-tls")
        account = f"--as=system:serviceaccount:{SYSTEM_NAMESPACE}:atheria-operator"
        for verb in ("get", "list", "watch", "delete"):
            asked = release.cluster.run("auth", "can-i", verb, "secrets", "-n", space.name, account)
            assert asked.stdout.strip() == "no", verb
        release.cluster.apply(foreign(space.name))
        space.apply_model("taken")
        message = space.wait_condition("Accepted", "False", "NameConflict", "taken")["message"]
        assert "taken-pod-tls exists and does not belong to this model" in message
        assert release.secret("taken-pod-tls") == {"password": b"mine"}
    finally:
        operator.terminate()
    authority = release.secret(AUTHORITY, SYSTEM_NAMESPACE)
    make_old(space, "fresh-pod-tls")
    running = release.secret("running-pod-tls")
    space.kubectl("delete", "secret", "running-pod-tls")
    space.kubectl("patch", "secret", "broken-pod-tls", "-p", '{"data": {"tls.crt": "Z2FyYmFnZQ=="}}')
    back = release.operator(for_models="off")
    back.start()
    try:
        space.make_ready(revision)
        assert release.revision("fresh", is_encrypted=False) != revision
        renewed = eventually(
            "a renewed certificate",
            lambda: found if (found := release.secret("fresh-pod-tls")) != data else None,
        )
        # Its annotations say that all is well; who wrote the data does not.
        eventually(
            "a certificate in place of garbage",
            lambda: release.secret("broken-pod-tls")[names.TLS_CERT_FILE] != b"garbage",
        )
        leaf(release.secret("broken-pod-tls"))
        # While pods speak TLS they keep their certificates, also on the way back.
        for before, after in ((data, renewed), (running, release.secret("running-pod-tls"))):
            assert leaf(after).serial_number != leaf(before).serial_number
            assert after[names.TLS_KEY_FILE] != before[names.TLS_KEY_FILE]
            assert after[names.TLS_CA_FILE] == before[names.TLS_CA_FILE]
        assert release.secret(AUTHORITY, SYSTEM_NAMESPACE) == authority, "a restart makes no new authority"
    finally:
        back.terminate()
