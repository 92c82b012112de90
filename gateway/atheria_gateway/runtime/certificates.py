"""Asks Envoy when the certificates that it serves expire, for the figure that an alert watches; started by `app`."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from atheria_gateway.runtime.measures import Measures

PERIOD_SECONDS = 30.0
_LOG = logging.getLogger(__name__)


class ServedCertificates(Protocol):
    """Envoy's admin interface, as far as it is asked here."""

    async def certificate_expiry_seconds(self) -> float | None:
        """The earliest expiry of what is served, since the epoch; None for no certificate. OSError without an answer."""
        ...


async def watch_certificates(
    envoy: ServedCertificates, measures: Measures, *, period_seconds: float = PERIOD_SECONDS
) -> None:
    """For ever; without TLS nothing is shown. An Envoy that does not answer leaves what was known."""
    while True:
        try:
            expiry_seconds = await envoy.certificate_expiry_seconds()
        except OSError as error:
            _LOG.info("the expiry of the certificates is not known: %s", error)
        else:
            if expiry_seconds is not None:
                measures.certificate_expires(expiry_seconds)
        await asyncio.sleep(period_seconds)
