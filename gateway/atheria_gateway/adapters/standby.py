"""Orders to wake to pods in standby, over HTTP with the model's token."""

from __future__ import annotations

import logging
from typing import Final

import aiohttp

from atheria_contract import names
from atheria_contract.standby import standby_token
from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey

_LOG = logging.getLogger(__name__)
# Longer than any wake: weights of many gigabytes come back over the bus.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=70, sock_connect=1)


class HttpStandby:
    """StandbyPort on the pods' HTTP ports; without a key nobody is woken."""

    def __init__(self, key: bytes | None) -> None:
        """`key` as of `atheria_contract.standby`; nothing is opened yet."""
        self._key = key
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
                timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=0, force_close=True)
            )
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        url = f"http://{host}:{endpoint.http_port}{names.PATH_WAKE}"
        headers = {names.HEADER_STANDBY: standby_token(self._key, model.namespace, model.name)}
        try:
            async with self._session.post(url, headers=headers, allow_redirects=False) as answer:
                if answer.status == 200:
                    return True
                words = (await answer.content.read(300)).decode(errors="replace")
                _LOG.info("pod %s of %s is not woken: %d %s", url, model, answer.status, words)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _LOG.info("pod %s of %s is not woken: %s %s", url, model, type(error).__name__, error)
        return False
