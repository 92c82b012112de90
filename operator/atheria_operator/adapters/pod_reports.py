"""Reports of model pods over HTTP: one short, bounded GET without anything secret in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import aiohttp

from atheria_operator.adapters.pod_identity import NoIdentity, PodIdentity, request_options
from atheria_operator.runtime.ports import NOT_FOUND, ReportError

TIMEOUT_SECONDS: Final = 2.0
MAX_BYTES: Final = 1024 * 1024
_PARALLEL: Final = 20
_CHUNK_BYTES: Final = 65_536
_SHOWN: Final = 120
_UNREADY: Final = 503


class HttpPodReports:
    """PodReports over one session of its own."""

    def __init__(self, identity: PodIdentity | None = None) -> None:
        """`identity` is shown to pods that ask for it. Needs a running event loop."""
        self._identity = identity or NoIdentity()
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            # Asked once per start of a pod: an open connection would only delay the pod's end.
            connector=aiohttp.TCPConnector(limit=_PARALLEL, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            # What is compressed all the same is no JSON; it is not unpacked to who knows what size.
            auto_decompress=False,
        )

    async def fetch(self, url: str, *, may_be_unready: bool = False, host: str = "") -> Any:
        """The answer as JSON, with `may_be_unready` also that of a 503. Raises ReportError; `is_final` where another try
        would bring the same. With a `host` only from who shows a certificate for it; else nothing secret is sent or received."""
        body = await self._get(url, may_be_unready=may_be_unready, host=host)
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ReportError(f"{url}: not JSON: {body[:_SHOWN]!r}", is_final=True) from error

    async def fetch_text(self, url: str) -> str:
        """The answer as text; bytes that are none are replaced. Raises ReportError."""
        return (await self._get(url)).decode(errors="replace")

    async def _get(self, url: str, *, may_be_unready: bool = False, host: str = "") -> bytes:
        try:
            options = request_options(self._identity, host)
            # aiohttp's own time limit loses a cancellation that comes in the same turn of the loop.
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.get(url, allow_redirects=False, **options) as answer,
            ):
                if answer.status == NOT_FOUND:
                    raise ReportError(f"{url}: the server has no such report", is_final=True)
                if answer.status != 200 and not (may_be_unready and answer.status == _UNREADY):
                    raise ReportError(f"{url}: status {answer.status}")
                return await _read(url, answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            words = str(error) or f"no answer within {TIMEOUT_SECONDS:g} s"
            raise ReportError(f"{url}: {type(error).__name__}: {words}") from error

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
