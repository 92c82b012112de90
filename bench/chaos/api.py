"""The API server as this run's people and kubelet use it: JSON over one connection pool, patient with outages."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import yaml

NOT_FOUND: Final = 404
CONFLICT: Final = 409
MERGE: Final = "application/merge-patch+json"
_PAUSE_SECONDS: Final = 0.3
_WATCH_SECONDS: Final = 120
_REQUEST: Final = aiohttp.ClientTimeout(total=15, sock_connect=3)
_WATCH: Final = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=_WATCH_SECONDS + 15)


class ApiError(Exception):
    """The API server's refusal, or its silence (status 0) for longer than the caller's patience."""

    def __init__(self, status: int, message: str) -> None:
        """`message` is its own sentence where it gave one."""
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Use as an async context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = str(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as file:
            for part in ("client-certificate-data", "client-key-data"):
                file.write(base64.b64decode(user[part]))
            file.flush()
            self._tls.load_cert_chain(file.name)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        patience_seconds: float = 120,
    ) -> Any:
        """One request; while the server is away or overloaded it is sent again. Raises ApiError."""
        deadline = time.monotonic() + patience_seconds
        while True:
            status, answer = await self._once(method, path, body, content_type)
            if 200 <= status < 300:
                return answer
            again = status == 0 or status == 429 or status >= 500
            if not again or time.monotonic() > deadline:
                raise ApiError(status, f"{method} {path}: {_sentence(answer)}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def find(self, path: str) -> dict[str, Any] | None:
        """An object, or None when there is none."""
        try:
            found: dict[str, Any] = await self.call("GET", path)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found

    async def items(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        """The objects of a list."""
        query = f"?labelSelector={selector}" if selector else ""
        return list((await self.call("GET", path + query))["items"])

    async def _once(self, method: str, path: str, body: Any, content_type: str) -> tuple[int, Any]:
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(
                method, self._url + path, data=data, headers={"Content-Type": content_type}, timeout=_REQUEST
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, f"{type(error).__name__} {error}"
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    async def follow(self, path: str, selector: str) -> AsyncIterator[dict[str, dict[str, Any]]]:
        """All objects by uid, after each change, for ever; after an outage it lists again."""
        while True:
            try:
                listed = await self.call("GET", f"{path}?labelSelector={selector}")
                objects = {item["metadata"]["uid"]: item for item in listed["items"]}
                yield objects
                version = listed["metadata"]["resourceVersion"]
                async for kind, item in self._watch(path, selector, version):
                    if kind == "DELETED":
                        objects.pop(item["metadata"]["uid"], None)
                    else:
                        objects[item["metadata"]["uid"]] = item
                    yield objects
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ApiError):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _watch(
        self, path: str, selector: str, version: str
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        assert self._session is not None
        query: Mapping[str, str] = {
            "labelSelector": selector,
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        async with self._session.get(self._url + path, params=query, timeout=_WATCH) as answer:
            rest = b""
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for one in lines:
                    event = json.loads(one)
                    if event["type"] == "ERROR":
                        raise ValueError(str(event["object"]))
                    yield event["type"], event["object"]


def _sentence(answer: Any) -> str:
    return str(answer.get("message", answer)) if isinstance(answer, dict) else str(answer)[:200]
