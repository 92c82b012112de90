"""Certificates of model pods by cert-manager (chart value podTls.mode: cert-manager): the operator asks for one for each model.

The same files lie in the pods as with an authority of its own; keys, renewal and the authority are cert-manager's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelKey, Problem
from atheria_operator.domain.certificates.stored import (
    CERT_MANAGER,
    CERTIFICATE,
    IssuerRef,
    build_certificate,
    secret_name,
)
from atheria_operator.domain.desired.ownership import conflict
from atheria_operator.domain.desired.plan import contains
from atheria_operator.domain.names import Owner
from atheria_operator.runtime.ports import NOT_FOUND, Clock, ClusterError, ClusterWriter, ObjectRef

_LOG = logging.getLogger(__name__)
LOOK_SECONDS: Final = 600.0
"""Between two looks at a Certificate that is as it should be, and issued: it is not watched."""
NO_CERT_MANAGER: Final = "NoCertManager"
NOT_READY: Final = "CertificateNotReady"


class CertManagerCertificates:
    """PodCertificates by cert-manager."""

    def __init__(
        self, cluster: ClusterWriter, clock: Clock, issuer: IssuerRef, *, wants: Callable[[bool | None], bool]
    ) -> None:
        """`wants` says whether a revision is to speak TLS."""
        self._cluster = cluster
        self._clock = clock
        self._issuer = issuer
        self._wants = wants
        self._seen: dict[ModelKey, float] = {}
        self._pending: dict[ModelKey, Problem] = {}

    def wants(self, serves_encrypted: bool | None) -> bool:
        """Whether a model's next revision is to speak TLS; see `runtime.tls_switch`."""
        return self._wants(serves_encrypted)

    async def keep(self, model: Owner) -> Problem | None:
        """The model's Certificate, as it should be. Raises ClusterError."""
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds - self._seen.get(model.key, -LOOK_SECONDS) < LOOK_SECONDS:
            return None
        wanted = build_certificate(model, self._issuer)
        ref = ObjectRef(
            api_version=CERT_MANAGER,
            kind=CERTIFICATE,
            namespace=model.key.namespace,
            name=secret_name(model.key.name, is_cert_managers=True),
        )
        live = await self._cluster.read(ref)
        if problem := conflict(CERTIFICATE, live and live["metadata"], model):
            return problem
        if live is None or not contains(live, wanted):
            try:
                live = await self._cluster.apply(wanted, manager=names.FIELD_MANAGER_OPERATOR)
            except ClusterError as error:
                if error.status != NOT_FOUND:
                    raise
                return Problem(
                    reason=NO_CERT_MANAGER,
                    message=f"the cluster has no {CERT_MANAGER}: install cert-manager, or set the chart value podTls.mode to internal",
                )
            _LOG.info("model=%s certificate=%s asked of cert-manager", model.key, ref.name)
        if problem := _not_ready(live):
            self._pending[model.key] = problem
        else:
            self._pending.pop(model.key, None)
            self._seen[model.key] = now_seconds
        return None

    def pending(self, key: ModelKey, /) -> Problem | None:
        """What cert-manager says of a certificate that it has not issued."""
        return self._pending.get(key)

    def forget(self, key: ModelKey) -> None:
        """The model is gone."""
        self._seen.pop(key, None)
        self._pending.pop(key, None)


def _not_ready(certificate: Mapping[str, Any]) -> Problem | None:
    metadata = certificate["metadata"]
    conditions = (certificate.get("status") or {}).get("conditions") or ()
    ready: Mapping[str, Any] = next((one for one in conditions if one.get("type") == "Ready"), {})
    generation = metadata.get("generation")
    if ready.get("status") == "True" and ready.get("observedGeneration", generation) == generation:
        return None
    told = f": {ready['message']}" if ready.get("message") else ""
    return Problem(
        reason=NOT_READY,
        message=f"{CERTIFICATE} {metadata['namespace']}/{metadata['name']} is not issued yet{told}; the model's pods stay as they are "
        f"until then: kubectl -n {metadata['namespace']} describe certificate {metadata['name']}",
    )
