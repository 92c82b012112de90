"""Orders to wake to pods in standby, over HTTP with the model's token."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, Final

import aiohttp

from atheria_contract import names
from atheria_contract.standby import standby_token
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.tls import TlsFiles

_LOG = logging.getLogger(__name__)
# Longer than any wake: weights of many gigabytes come back over the bus.
_WAKE_S: Final = 70.0
_CONNECT: Final = aiohttp.ClientTimeout(total=None, sock_connect=1)


class HttpStandby:
    """StandbyPort on the pods' HTTP ports; without a key nobody is woken."""

    def __init__(self, key: bytes | None, tls: TlsFiles | None = None) -> None:
        """`key` as of `atheria_contract.standby`, `tls` what is shown to pods that ask for it; nothing is opened yet."""
        self._key = key
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def wake(self, endpoint: Endpoint, model: ModelKey) -> bool:
        """POST to the pod; its refusals and failures are False, and lines of the log."""
        if self._key is None:
            return False
        if self._session is None:
            # Asked once a wake: an open connection would only delay the pod's end.
            self._session = aiohttp.ClientSession(
                timeout=_CONNECT, connector=aiohttp.TCPConnector(limit=0, force_close=True)
            )
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        scheme = "https" if endpoint.has_tls else "http"
        url = f"{scheme}://{host}:{endpoint.http_port}{names.PATH_WAKE}"
        headers = {names.HEADER_STANDBY: standby_token(self._key, model.namespace, model.name)}
        try:
            # aiohttp's own time limit loses a cancellation that comes in the same turn of the loop.
            async with (
                asyncio.timeout(_WAKE_S),
                self._session.post(
                    url, headers=headers, allow_redirects=False, **self._verified(endpoint, model)
                ) as answer,
            ):
                if answer.status == 200:
                    return True
                words = (await answer.content.read(300)).decode(errors="replace")
                _LOG.info("pod %s of %s is not woken: %d %s", url, model, answer.status, words)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _LOG.info("pod %s of %s is not woken: %s %s", url, model, type(error).__name__, error)
        return False

    def _verified(self, endpoint: Endpoint, model: ModelKey) -> dict[str, Any]:
        """Of a request to a pod that speaks TLS. OSError where the files cannot be used: they are read each time, as they change."""
        if not endpoint.has_tls:
            return {}
        if self._tls is None:
            raise OSError(f"it wants a certificate, and {names.ENV_POD_TLS_DIRECTORY} names none")
        context = ssl.create_default_context(cafile=self._tls.client_authority)
        context.load_cert_chain(self._tls.certificate, self._tls.key)
        return {"ssl": context, "server_hostname": names.pod_host(model.namespace, model.name)}
