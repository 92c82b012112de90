"""What somebody asks cert-manager's issuer for, and what the API server says to it under the chart's policy. Used with cert-manager's own
definitions and with those that stand in for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.integration.operator.harness import eventually

SECONDS: Final = 60
TENANT: Final = "tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The administrator asks, whom RBAC lets do all."""

    cluster: Any
    issuer: str

    def asked(self, kind: str, namespace: str = TENANT, **spec: Any) -> dict[str, Any]:
        """An object of this spec that names the issuer, if it names none."""
        return {
            "apiVersion": "cert-manager.io/v1",
            "kind": kind,
            "metadata": {"name": "asked", "namespace": namespace},
            "spec": {"issuerRef": {"name": self.issuer, "kind": "ClusterIssuer"}, **spec},
        }

    def certificate(self, namespace: str = TENANT, **changed: Any) -> dict[str, Any]:
        """A Certificate as the operator asks for it, but for what is changed; None leaves out."""
        spec = {
            "secretName": "asked",
            "dnsNames": [f"qca.{namespace}.svc"],
            "usages": ["digital signature", "server auth"],
            **changed,
        }
        return self.asked("Certificate", namespace, **{key: part for key, part in spec.items() if part is not None})  # fmt: skip

    def answer(self, manifest: dict[str, Any]) -> str:
        """Why it is refused; empty = it is not. Nothing is stored."""
        done = self.cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
        return str(done.stderr) if done.returncode else ""


@contextmanager
def asking(cluster: Any, issuer: str) -> Iterator[Asking]:
    """A tenant's namespace, from when the policy is enforced."""
    cluster.kubectl("create", "namespace", TENANT)
    found = Asking(cluster=cluster, issuer=issuer)
    refused = found.certificate(usages=["client auth"])
    eventually(
        "the policy to be enforced", lambda: "ValidatingAdmissionPolicy" in found.answer(refused), SECONDS
    )
    yield found
    cluster.kubectl("delete", "namespace", TENANT, "--wait=false")
