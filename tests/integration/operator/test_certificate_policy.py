"""podTls.certManager.policy on a real API server: what anybody may ask the issuer of model pods for.

Certificates are of a definition that has cert-manager's fields; with its own one the policy is looked at in tests/integration/interop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from atheria_local.definitions import delete_definitions, wait_established
from tests.contract.chart import SYSTEM_NAMESPACE, render
from tests.integration.operator.certificate_requests import Asking, asking

ISSUER = "atheria-pods"
CLIENT = ["digital signature", "client auth"]
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
LOOSE = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
ISSUER_REF = {"type": "object", "properties": {"name": TEXT, "kind": TEXT, "group": TEXT}, "required": ["name"]}  # fmt: skip
SPECS = {
    "certificates": {
        **dict.fromkeys(("secretName", "commonName", "literalSubject", "duration", "renewBefore"), TEXT),
        **dict.fromkeys(("dnsNames", "usages", "uris", "ipAddresses", "emailAddresses"), TEXTS),
        "otherNames": {"type": "array", "items": LOOSE},
        "subject": LOOSE,
        "isCA": {"type": "boolean"},
        "issuerRef": ISSUER_REF,
    },
    "certificaterequests": {"request": TEXT, "usages": TEXTS, "issuerRef": ISSUER_REF},
}


def definition(plural: str, kind: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": SPECS[plural]}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cert-manager.io"},
        "spec": {
            "group": "cert-manager.io",
            "names": {"plural": plural, "kind": kind},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.fixture(scope="module")
def tenant(cluster: Any) -> Iterator[Asking]:
    definitions = [
        definition("certificates", "Certificate"),
        definition("certificaterequests", "CertificateRequest"),
    ]
    policies = [
        item
        for item in render("--set", f"podTls.mode=cert-manager,podTls.certManager.issuerRef.name={ISSUER}")
        if item["kind"].startswith("ValidatingAdmissionPolicy")
    ]
    assert len(policies) == 2
    cluster.apply(*definitions)
    wait_established(cluster.plane.kubectl)
    # It was there before the policy, and would be refused today.
    cluster.apply(Asking(cluster=cluster, issuer=ISSUER).certificate("default", usages=CLIENT))
    cluster.apply(*policies)
    with asking(cluster, ISSUER) as found:
        yield found
    for item in policies:
        cluster.kubectl("delete", item["kind"], item["metadata"]["name"])
    delete_definitions(cluster.plane.kubectl, *(item["metadata"]["name"] for item in definitions))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"usages": CLIENT}, "usages of the ClusterIssuer"),
        ({"usages": ["digital signature", "server auth", "client auth"]}, "usages of the ClusterIssuer"),
        # Without a word of it a certificate is good for both sides.
        ({"usages": ["digital signature"]}, "usages of the ClusterIssuer"),
        ({"usages": None}, "usages of the ClusterIssuer"),
        ({"dnsNames": ["qca.demo.svc"]}, "end in .tenant.svc"),
        ({"dnsNames": ["qca.tenant.svc", "qca.demo.svc"]}, "end in .tenant.svc"),
        ({"dnsNames": ["qca.not-tenant.svc"]}, "end in .tenant.svc"),
        ({"dnsNames": None}, "end in .tenant.svc"),
        ({"isCA": True}, "and nothing else"),
        ({"commonName": "qca.demo.svc"}, "and nothing else"),
        ({"uris": ["spiffe://demo/qca"]}, "and nothing else"),
        ({"subject": {"organizations": ["demo"]}}, "and nothing else"),
        ({"literalSubject": "CN=qca.demo.svc"}, "and nothing else"),
        ({"ipAddresses": ["10.0.0.1"]}, "and nothing else"),
        ({"emailAddresses": ["a@example.com"]}, "and nothing else"),
        ({"otherNames": [{"oid": "1.2", "utf8Value": "demo"}]}, "and nothing else"),
    ],
)
def test_a_tenant_is_refused_what_is_not_a_server_of_its_own(
    tenant: Asking, changed: dict[str, Any], why: str
) -> None:
    said = tenant.answer(tenant.certificate(**changed))
    assert "ValidatingAdmissionPolicy" in said
    assert why in said
    assert "chart value podTls.certManager.policy" in said


def test_what_the_release_asks_for_and_what_names_another_issuer_passes(tenant: Asking) -> None:
    assert tenant.answer(tenant.certificate()) == ""
    assert tenant.answer(tenant.certificate(SYSTEM_NAMESPACE, usages=CLIENT)) == ""
    assert tenant.answer(tenant.certificate(usages=CLIENT, issuerRef={"name": "own", "kind": "Issuer"})) == ""
    # An Issuer of the namespace, as cert-manager reads it.
    assert tenant.answer(tenant.certificate(usages=CLIENT, issuerRef={"name": ISSUER})) == ""


def test_nobody_comes_past_it_by_a_request_or_by_changing_the_issuer_later(
    cluster: Any, tenant: Asking
) -> None:
    said = tenant.answer(tenant.asked("CertificateRequest", request="AA==", usages=CLIENT))
    assert "only system:serviceaccount:cert-manager:cert-manager makes requests" in said
    assert "set the chart value podTls.certManager.policy.requester" in said
    other = tenant.certificate(usages=CLIENT, issuerRef={"name": "own", "kind": "Issuer"})
    cluster.apply(other)
    done = cluster.run("apply", "-f", "-", stdin=json.dumps(tenant.certificate(usages=CLIENT)))
    assert done.returncode != 0
    assert "usages of the ClusterIssuer" in done.stderr


def test_what_was_there_before_may_be_marked_and_not_be_changed(cluster: Any, tenant: Asking) -> None:
    cluster.kubectl("annotate", "certificate", "asked", "-n", "default", "cert-manager.io/seen=yes")
    changed = tenant.certificate("default", usages=CLIENT, dnsNames=["other.default.svc"])
    done = cluster.run("apply", "-f", "-", stdin=json.dumps(changed))
    assert done.returncode != 0
    assert "usages of the ClusterIssuer" in done.stderr


def test_the_account_of_cert_manager_makes_requests(cluster: Any, tenant: Asking) -> None:
    request = tenant.asked("CertificateRequest", request="AA==", usages=["digital signature", "server auth"])
    account = ("--as=system:serviceaccount:cert-manager:cert-manager", "--as-group=system:masters")
    done = cluster.run("create", "--dry-run=server", *account, "-f", "-", stdin=json.dumps(request))
    assert done.returncode == 0, done.stderr
