"""Orders to sleep and to wake to model pods: one short, bounded POST with the model's token."""

from __future__ import annotations

from typing import Final

import aiohttp

from atheria_contract import names
from atheria_contract.standby import standby_token
from atheria_operator.api.model import ModelKey
from atheria_operator.runtime.ports import ReportError

TIMEOUT_SECONDS: Final = 5.0
_TAKEN: Final = (200, 202)
_NOT_NOW: Final = (409, 503)
_SHOWN: Final = 200


class HttpStandbyOrders:
    """StandbyOrders over one session of its own."""

    def __init__(self, key: bytes) -> None:
        """`key` as of `atheria_contract.standby`; needs a running event loop."""
        self._key = key
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=20, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def order(self, url: str, key: ModelKey) -> bool:
        """Whether the pod took it; False where it has calls, or wakes for longer than the timeout. Raises ReportError."""
        headers = {names.HEADER_STANDBY: standby_token(self._key, key.namespace, key.name)}
        try:
            # Not verified, as the kubelet's probes do not: the token is good for this one model's sleep, and for nothing else.
            async with self._session.post(url, headers=headers, allow_redirects=False, ssl=False) as answer:
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
