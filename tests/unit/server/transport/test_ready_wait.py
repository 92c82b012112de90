"""A probe that waits is answered when the start is over, and one that does not wait at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI

from atheria_contract import names
from atheria_server.engine.service import ModelService
from atheria_server.models.echo import EchoApi
from atheria_server.transport.rest import RestRoutes

UNREADY = {"ready": False, "reason": "the model is not loaded yet: loading"}


class Standby:
    """Of a server that is not in standby."""

    is_ready = True


class Engine:
    """As far as a probe asks for it."""

    def __init__(self) -> None:
        self.ready = False
        self.unready_reason = UNREADY["reason"]
        self.in_flight = 0
        self.standby = Standby()


@pytest.fixture
def service() -> ModelService:
    engine: Any = Engine()
    events: Any = None
    return ModelService(name="echo", api=EchoApi({}), engine=engine, events=events)


@pytest.fixture
def app(service: ModelService) -> FastAPI:
    found = FastAPI()
    nothing: Any = None
    RestRoutes(service, info=nothing, metrics=nothing, server_version="0", max_message_bytes=1).add_to(found)
    return found


async def probe(app: FastAPI, query: str) -> tuple[int, Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": names.PATH_READY,
        "raw_path": names.PATH_READY.encode(),
        "query_string": query.encode(),
        "headers": [],
        "root_path": "",
    }
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


async def test_a_probe_that_waits_is_answered_by_the_end_of_the_start(
    app: FastAPI, service: ModelService
) -> None:
    waiting = asyncio.create_task(probe(app, "wait=5"))
    await asyncio.sleep(0)
    engine: Any = service.engine
    engine.ready = True
    service.set_started()
    assert await waiting == (200, {"ready": True, "in_flight": 0})


async def test_a_wait_that_is_too_short_ends_with_how_far_the_start_is(app: FastAPI) -> None:
    assert await probe(app, "wait=0.01") == (503, UNREADY)


@pytest.mark.parametrize("query", ["", "wait=", "wait=soon", "wait=-1", "wait=nan", "wait=5.1", "wait=1e9"])
async def test_no_wait_and_one_that_is_out_of_bounds_are_answered_at_once(
    app: FastAPI, service: ModelService, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "started", None)  # calling it would fail
    assert await probe(app, query) == (503, UNREADY)


async def test_after_the_start_nobody_waits_any_more(app: FastAPI, service: ModelService) -> None:
    service.set_started()
    async with asyncio.timeout(60):
        assert await probe(app, "wait=5") == (503, UNREADY)
