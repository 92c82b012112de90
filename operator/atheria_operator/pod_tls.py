"""Wires what gives models' pods certificates, by mode; a part of the composition root, used by `app`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from atheria_operator.adapters.pod_identity import IssuedIdentity, MountedIdentity, NoIdentity, PodIdentity
from atheria_operator.domain.certificates.stored import client_secret
from atheria_operator.runtime.cert_manager import CertManagerCertificates
from atheria_operator.runtime.own_authority import OwnAuthority
from atheria_operator.runtime.ports import Clock, ClusterWriter, PodCertificates
from atheria_operator.runtime.tls_switch import TlsSwitch, gateway_ref
from atheria_operator.settings import PodTlsSettings

_LOG = logging.getLogger(__name__)


def pod_identity(settings: PodTlsSettings | None) -> PodIdentity:
    """What the operator's own requests to pods show."""
    if settings is None:
        return NoIdentity()
    return MountedIdentity(settings.directory) if settings.issuer else IssuedIdentity()


class PodTls:
    """With `settings` None nothing is kept and nothing runs."""

    def __init__(
        self,
        settings: PodTlsSettings | None,
        identity: PodIdentity,
        cluster: ClusterWriter,
        clock: Clock,
        *,
        namespace: str,
        wake_all: Callable[[], None],
    ) -> None:
        """`namespace` is the release's; `identity` is `pod_identity` of the same settings."""
        self.certificates: PodCertificates | None = None
        self._switch: TlsSwitch | None = None
        self._authority: OwnAuthority | None = None
        if settings is None:
            return
        self._switch = TlsSwitch(
            cluster,
            clock,
            gateway_ref(namespace, settings.name),
            secret=client_secret(settings.name, is_cert_managers=settings.issuer is not None),
            for_models=settings.for_models,
            wake_all=wake_all,
        )
        if settings.issuer is not None:
            self.certificates = CertManagerCertificates(
                cluster, clock, settings.issuer, wants=self._switch.wants
            )
        elif isinstance(identity, IssuedIdentity):
            # Here, as nobody else needs the library.
            from atheria_operator.adapters.authority import P256Issuer

            self._authority = OwnAuthority(
                cluster,
                clock,
                P256Issuer(),
                namespace=namespace,
                name=settings.name,
                take=identity.take,
                wants=self._switch.wants,
                wake_all=wake_all,
            )
            self.certificates = self._authority

    async def prepare(self) -> None:
        """Before the models are looked at: so none has to wait for the authority."""
        if self._authority is not None:
            try:
                await self._authority.look()
            except (OSError, ValueError) as error:
                _LOG.error("the authority of model pods is not there yet: %s", error)

    def loops(self) -> list[asyncio.Task[Any]]:
        """Started; each ends only by a failure."""
        found: list[tuple[str, Coroutine[Any, Any, None]]] = []
        if self._switch is not None:
            found.append(("tls-switch", self._switch.run()))
        if self._authority is not None:
            found.append(("authority", self._authority.run()))
        return [asyncio.create_task(one, name=name) for name, one in found]

    def ends_seconds(self) -> float | None:
        """When the first of the operator's own certificates ends, since the epoch; None where it keeps none."""
        return None if self._authority is None else self._authority.ends_seconds()
