"""Orders to sleep and to wake to model pods: one short, bounded POST with the model's token."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from atheria_contract import names
from atheria_contract.standby import standby_token
from atheria_operator.adapters.pod_identity import NoIdentity, PodIdentity, request_options
from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.ports import ReportError

TIMEOUT_SECONDS: Final = 5.0
_TAKEN: Final = (200, 202)
_NOT_NOW: Final = (409, 503)
_SHOWN: Final = 200


class HttpStandbyOrders:
    """StandbyOrders over one session of its own."""

    def __init__(self, key: bytes, identity: PodIdentity | None = None) -> None:
        """`key` as of `atheria_contract.standby`; `identity` is shown to pods that ask for it. Needs a running event loop."""
        self._key = key
        self._identity = identity or NoIdentity()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=20, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def order(self, url: str, key: ModelKey, *, host: str = "") -> bool:
        """Whether the pod took it; False where it has calls, or cannot wake now. Raises ReportError, also for no answer in time.

        With a `host` only to who shows a certificate for it; else unverified, as the kubelet's probes are: the token is good for this
        one model's sleep, and for nothing else.
        """
        headers = {names.HEADER_STANDBY: standby_token(self._key, key.namespace, key.name)}
        try:
            options = request_options(self._identity, host)
            # aiohttp's own time limit loses a cancellation that comes in the same turn of the loop.
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.post(url, headers=headers, allow_redirects=False, **options) as answer,
            ):
                if answer.status in _TAKEN:
                    return True
                if answer.status in _NOT_NOW:
                    return False
                words = (await answer.content.read(_SHOWN)).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or f"no answer within {TIMEOUT_SECONDS:g} s"
            raise ReportError(f"{url}: {type(error).__name__}: {words}") from error
        raise ReportError(f"{url}: status {answer.status}: {words}")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
