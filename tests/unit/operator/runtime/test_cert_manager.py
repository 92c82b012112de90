"""With cert-manager the operator asks for one Certificate a model, and says so where nobody would answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.certificates.stored import IssuerRef, secret_name
from atheria_operator.runtime.cert_manager import (
    LOOK_SECONDS,
    NO_CERT_MANAGER,
    NOT_READY,
    CertManagerCertificates,
)
from atheria_operator.runtime.ports import ClusterError, ObjectRef

Intents = Callable[..., ModelIntent]
NAME = "qca-pod-tls-cert-manager"
ISSUER = IssuerRef(name="models", kind="ClusterIssuer", group="cert-manager.io")


class Cluster:
    """Certificates in memory."""

    def __init__(self, *, is_installed: bool = True) -> None:
        self.live: dict[str, Any] | None = None
        self.reads = 0
        self.applied = 0
        self.seconds = 0.0
        self._is_installed = is_installed

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        assert (ref.api_version, ref.kind, ref.name) == ("cert-manager.io/v1", "Certificate", NAME)
        self.reads += 1
        return self.live

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        if not self._is_installed:
            raise ClusterError(404, "the server could not find the requested resource")
        self.applied += 1
        self.live = dict(body)
        return body

    def monotonic_seconds(self) -> float:
        return self.seconds


def keeper(cluster: Any) -> CertManagerCertificates:
    return CertManagerCertificates(cluster, cluster, ISSUER, wants=lambda _: True)


async def test_a_certificate_is_asked_for_once_and_put_right_when_somebody_changed_it(
    intent: Intents,
) -> None:
    cluster = Cluster()
    certificates = keeper(cluster)
    for _ in range(2):
        assert await certificates.keep(intent()) is None
    assert cluster.applied == 1
    assert cluster.live is not None
    spec = cluster.live["spec"]
    assert spec["secretName"] == secret_name("qca", is_cert_managers=True) != secret_name("qca")
    assert spec["dnsNames"] == [names.pod_host("demo", "qca")]
    assert spec["usages"] == ["digital signature", "server auth"], "nobody calls a pod with it"
    assert spec["issuerRef"] == {"name": "models", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert spec["privateKey"]["rotationPolicy"] == "Always"
    cluster.live["spec"] = {**spec, "dnsNames": ["*"]}
    cluster.seconds += LOOK_SECONDS
    assert await certificates.keep(intent()) is None
    assert cluster.live["spec"]["dnsNames"] == [names.pod_host("demo", "qca")]


async def test_without_cert_manager_and_where_the_name_is_taken_the_model_says_what_to_do(
    intent: Intents,
) -> None:
    found = await keeper(Cluster(is_installed=False)).keep(intent())
    assert found is not None
    assert found.reason == NO_CERT_MANAGER
    assert "install cert-manager" in found.message
    taken = Cluster()
    taken.live = {"metadata": {"name": NAME}}
    found = await keeper(taken).keep(intent())
    assert found is not None
    assert "does not belong to this model" in found.message
    assert taken.applied == 0


async def test_a_certificate_that_is_not_issued_yet_is_pending_with_what_cert_manager_says(
    intent: Intents,
) -> None:
    cluster = Cluster()
    certificates = keeper(cluster)
    assert await certificates.keep(intent()) is None
    found = certificates.pending(intent().key)
    assert found is not None
    assert found.reason == NOT_READY
    assert f"kubectl -n demo describe certificate {NAME}" in found.message
    assert cluster.live is not None
    cluster.live["metadata"] = {**cluster.live["metadata"], "generation": 2}
    refused = {"type": "Ready", "status": "False", "message": "issuer not found", "observedGeneration": 2}
    cluster.live["status"] = {"conditions": [refused]}
    await certificates.keep(intent())
    found = certificates.pending(intent().key)
    assert found is not None
    assert "is not issued yet: issuer not found;" in found.message
    for generation, is_pending in ((1, True), (2, False)):
        ready = {"type": "Ready", "status": "True", "observedGeneration": generation}
        cluster.live["status"] = {"conditions": [ready]}
        await certificates.keep(intent())
        assert (certificates.pending(intent().key) is not None) is is_pending
    reads = cluster.reads
    await certificates.keep(intent())
    assert cluster.reads == reads, "what is issued is not read at each round"
