"""Pages in browsers: gRPC-Web, and answers to other origins."""

from __future__ import annotations

import asyncio
import base64
import struct
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually

ORIGIN = "https://lab.example"


def _frame(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        found.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def _from_text(body: bytes) -> bytes:
    """The bytes of pieces in base64, each with its own padding."""
    return b"".join(base64.b64decode(body[at : at + 4]) for at in range(0, len(body), 4))


@pytest.fixture
async def web(run_directory: Path) -> Any:
    """A gateway that lets pages of one origin call."""
    gateway = harness.Gateway(run_directory, cors_origins=(ORIGIN,))
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    await gateway.start_envoy()
    await gateway.start_activator()
    await gateway.wait_until_routed()
    yield gateway
    await gateway.stop()


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpc-web-text+proto"])
async def test_a_grpc_web_call_is_held_and_answered(web: Any, pod: Any, kind: str) -> None:
    body = _frame(b"hello")
    if "text" in kind:
        body = base64.b64encode(body)
    headers = {"content-type": kind, "accept": kind, "x-grpc-web": "1", "origin": ORIGIN}
    async with aiohttp.ClientSession() as session:
        call = asyncio.ensure_future(_post(session, web.url("/t.S/Unary"), body, headers))
        await eventually("a held call", lambda: web.held() == 1)
        web.kube.set_pod(QCA, pod.ports)
        status, answer_headers, answer = await asyncio.wait_for(call, 20)
    assert status == 200
    assert answer_headers["access-control-allow-origin"] == ORIGIN
    (data_flags, data), (trailer_flags, trailers) = _frames(_from_text(answer) if "text" in kind else answer)
    assert (data_flags, data) == (0, b"hello")
    assert trailer_flags == 0x80
    assert b"grpc-status:0" in trailers.replace(b" ", b"")


async def test_a_preflight_is_answered_without_waking_and_other_origins_are_not_let_in(web: Any) -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.options(web.url("/t.S/Unary"), headers={"origin": ORIGIN, **asked}) as answer,
    ):
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "atheria-model" in answer.headers["access-control-allow-headers"]
        assert "x-grpc-web" in answer.headers["access-control-allow-headers"]
    assert web.held() == 0
    assert web.kube.patches == []


async def test_answers_to_an_origin_that_is_not_allowed_have_no_permission(web: Any, pod: Any) -> None:
    web.kube.set_pod(QCA, pod.ports)
    async with aiohttp.ClientSession() as session:
        async with session.get(
            web.url("/v2/models/qca"), headers={"origin": "https://elsewhere.example"}
        ) as answer:
            assert answer.status == 200
            assert "access-control-allow-origin" not in answer.headers
        async with session.get(web.url("/v2/models/qca"), headers={"origin": ORIGIN}) as answer:
            assert answer.headers["access-control-allow-origin"] == ORIGIN
            assert "atheria-held-seconds" in answer.headers["access-control-expose-headers"]


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, Any, bytes]:
    async with session.post(url, data=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()
