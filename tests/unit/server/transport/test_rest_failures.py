"""A mistake of the server itself is a JSON error too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI

from atheria_server.transport.rest import RestRoutes


async def get(app: FastAPI, path: str) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }
    with pytest.raises(ZeroDivisionError):  # goes on to uvicorn, which logs it
        await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_an_exception_that_nobody_expected_is_500_with_its_name_and_without_its_text() -> None:
    def broken(_: str) -> Any:
        raise ZeroDivisionError("a secret")

    app = FastAPI()
    service: Any = None
    RestRoutes(service, info=service, metrics=broken, server_version="0", max_message_bytes=1).add_to(app)
    status, body = await get(app, "/metrics")
    assert status == 500
    assert json.loads(body) == {"error": "the server failed with ZeroDivisionError; see its log"}
