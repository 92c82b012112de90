"""Reports of model pods over HTTP: one short, bounded GET without anything secret in it."""

from __future__ import annotations

import json
from typing import Any, Final

import aiohttp

from atheria_operator.runtime.ports import NOT_FOUND, ReportError

TIMEOUT_SECONDS: Final = 2.0
MAX_BYTES: Final = 1024 * 1024
_PARALLEL: Final = 20
_CHUNK_BYTES: Final = 65_536
_SHOWN: Final = 120
_UNREADY: Final = 503


class HttpPodReports:
    """PodReports over one session of its own."""

    def __init__(self) -> None:
        """Needs a running event loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            # Asked once per start of a pod: an open connection would only delay the pod's end.
            connector=aiohttp.TCPConnector(limit=_PARALLEL, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            # What is compressed all the same is no JSON; it is not unpacked to who knows what size.
            auto_decompress=False,
        )

    async def fetch(self, url: str, *, may_be_unready: bool = False) -> Any:
        """The answer as JSON, with `may_be_unready` also that of a 503. Raises ReportError; `is_final` where another try
        would bring the same."""
        try:
            # The certificate is not verified, as the kubelet's probes do not: nothing secret is sent or received.
            async with self._session.get(url, allow_redirects=False, ssl=False) as answer:
                if answer.status == NOT_FOUND:
                    raise ReportError(f"{url}: the server has no such report", is_final=True)
                if answer.status != 200 and not (may_be_unready and answer.status == _UNREADY):
                    raise ReportError(f"{url}: status {answer.status}")
                body = await _read(url, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or f"no answer within {TIMEOUT_SECONDS:g} s"
            raise ReportError(f"{url}: {type(error).__name__}: {words}") from error
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{url}: not JSON: {body[:_SHOWN]!r}", is_final=True) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(url: str, answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ReportError(f"{url}: more than {MAX_BYTES} bytes", is_final=True)
    return bytes(body)
