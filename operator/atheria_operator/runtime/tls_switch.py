"""When models' next revisions speak TLS: new models at once, running ones, in their turn, when every gateway pod can. Run by `app` beside kopf.

A gateway pod from before the switch has no certificate and could not call the new pods. Such pods are seen by the gateway's Deployment;
those that are told to go get the time that they have for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from atheria_operator.domain.gateway_rollout import grace_seconds, has_certificates
from atheria_operator.domain.observed import DEPLOYMENT
from atheria_operator.runtime.ports import Clock, ClusterError, ClusterWriter, ObjectRef

_LOG = logging.getLogger(__name__)
EVERY_SECONDS: Final = 2.0


class TlsSwitch:
    """Closed at the start; it opens once and stays open."""

    def __init__(
        self,
        cluster: ClusterWriter,
        clock: Clock,
        gateway: ObjectRef,
        *,
        secret: str,
        for_models: bool,
        wake_all: Callable[[], None],
    ) -> None:
        """`gateway` is its Deployment, `secret` the one with its certificate; `for_models` False takes models back to plain text, `wake_all` wakes them when it opens."""
        self._cluster = cluster
        self._clock = clock
        self._gateway = gateway
        self._secret = secret
        self._for_models = for_models
        self._wake_all = wake_all
        self._seen_seconds: float | None = None
        self._is_open = False

    def wants(self, serves_encrypted: bool | None) -> bool:
        """Whether a model's next revision is to speak TLS; `serves_encrypted` = one that takes calls, or is about to, does, None = there is none."""
        return self._for_models and (serves_encrypted is not False or self._is_open)

    async def run(self) -> None:
        """Until it is open; what is cancelled before changes nothing."""
        while self._for_models and not self._is_open:
            try:
                await self.look()
            except ClusterError as error:
                _LOG.warning("whether the gateway's pods have certificates is not known: %s", error)
            if not self._is_open:
                await asyncio.sleep(EVERY_SECONDS)
        await asyncio.Event().wait()

    async def look(self) -> None:
        """Once. Raises ClusterError."""
        gateway = await self._cluster.read(self._gateway)
        if gateway is not None and not has_certificates(gateway, self._secret):
            self._seen_seconds = None
            return
        now_seconds = self._clock.monotonic_seconds()
        if self._seen_seconds is None:
            self._seen_seconds = now_seconds
        wait_seconds = 0.0 if gateway is None else grace_seconds(gateway)
        if now_seconds - self._seen_seconds >= wait_seconds:
            self._is_open = True
            _LOG.info("every gateway pod has a certificate: models change to TLS, in their turns")
            self._wake_all()


def gateway_ref(namespace: str, name: str) -> ObjectRef:
    """The gateway's Deployment, by what the names of the release's objects begin with."""
    return ObjectRef(api_version="apps/v1", kind=DEPLOYMENT, namespace=namespace, name=f"{name}-gateway")
