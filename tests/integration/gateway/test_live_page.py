"""The live page on a real Envoy: its files, its figures and its streams, for whom they are and for whom not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atheria_gateway.xds.live_guard import FIGURES_PER_S, KEY_PROTOCOL, PROTOCOL
from atheria_gateway.xds.live_page import CONTENT_SECURITY_POLICY, PAGE_DIRECTORY, page_files
from atheria_gateway.xds.tls import TlsFiles
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, certificate, eventually

KERR = harness.ModelKey(namespace="demo", name="kerr")
STREAM = "/live/models/demo/qca/stream"
LARGE_BYTES = 3 * 1024 * 1024
"""As a field of 200 x 200 cells: more than Envoy's windows, less than the test's pod takes."""
KEY = "a key / with + characters = of its own"


@contextlib.asynccontextmanager
async def _running(directory: Path, **settings: Any) -> AsyncIterator[Any]:
    """A gateway with two models at zero."""
    gateway = harness.Gateway(directory, **settings)
    for key in (QCA, KERR):
        gateway.kube.put(Watched.MODELS, harness.model_object(key))
    await gateway.start_envoy()
    await gateway.start_activator()
    await gateway.wait_until_routed()
    try:
        yield gateway
    finally:
        await gateway.stop()


@pytest.fixture
async def page(run_directory: Path) -> AsyncIterator[Any]:
    """A gateway that serves the page, and nothing but it to calls that name no model."""
    async with _running(run_directory, has_live_page=True, pod_name="gateway-1") as gateway:
        yield gateway


async def _get(url: str, **more: Any) -> tuple[int, Any, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, allow_redirects=False, **more) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def _figures(gateway: Any, **more: Any) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(gateway.url("/live/fleet.json"), **more) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())


def _model(figures: dict[str, Any], name: str = "qca") -> dict[str, Any]:
    (found,) = (one for one in figures["models"] if one["name"] == name)
    return dict(found)


async def _shows(gateway: Any, field: str, value: Any) -> None:
    """Wait until a field of demo/qca has this value."""
    async with asyncio.timeout(harness.WAIT_S):
        while _model(await _figures(gateway))[field] != value:  # noqa: ASYNC110 - Envoy sets no event
            await asyncio.sleep(0.1)


async def _echoed(session: aiohttp.ClientSession, url: str, **more: Any) -> str | None:
    """Send and receive one message; the protocol that the answer named."""
    async with session.ws_connect(url, **more) as ws:
        await ws.send_str("hello")
        assert (await ws.receive(timeout=harness.WAIT_S)).data == "hello"
        return ws.protocol


async def test_without_the_setting_nothing_of_it_is_there(gateway: Any) -> None:
    gateway.kube.put(Watched.MODELS, harness.model_object(KERR))
    await eventually(
        "the second model", lambda: gateway.active.is_settled and len(gateway.active.world.models) == 2
    )
    for path in ("/live", "/live/", "/live/index.html", "/live/fleet.json"):
        status, _, body = await _get(gateway.url(path))
        assert status == 404
        assert b"atheria-model" in body
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(gateway.url(STREAM))
    assert caught.value.status == 404
    assert "live.sock" not in {one.name for one in gateway.directory.iterdir()}


async def test_envoy_serves_the_files_with_their_types_and_without_rights_for_others(page: Any) -> None:
    for file in page_files():
        status, headers, body = await _get(page.url(f"/live/{file.path}"))
        assert (status, headers["content-type"]) == (200, file.content_type)
        assert body == (PAGE_DIRECTORY / (file.path or "index.html")).read_bytes()
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-cache"
    status, headers, _ = await _get(page.url("/live?theme=dark"))
    assert (status, headers["location"]) == (308, "live/")
    for path in (
        "/live/nothing.js",
        "/live/../live/x",
        "/live/models/demo/qca/stream",
        "/live/models/demo/nobody/stream",
    ):
        status, _, body = await _get(page.url(path))
        assert status == 404
        assert b"the live page has no such file" in body
    assert page.held() == 0


async def test_a_browser_that_has_a_file_gets_304_and_one_that_has_another_gets_the_file(page: Any) -> None:
    for file in page_files():
        url = page.url(f"/live/{file.path}")
        content = (PAGE_DIRECTORY / (file.path or "index.html")).read_bytes()
        _, headers, _ = await _get(url)
        tag = headers["etag"]
        assert tag == f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            status, headers, body = await _get(url, headers={"if-none-match": known})
            assert (status, body) == (304, b"")
            assert (headers["etag"], headers["cache-control"]) == (tag, "no-cache")
            assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert "content-type" not in headers
        status, headers, body = await _get(url, headers={"if-none-match": '"other"'})
        assert (status, headers["etag"], body) == (200, tag, content)
    async with aiohttp.ClientSession() as session:
        async with session.head(url, headers={"if-none-match": tag}) as answer:
            assert answer.status == 304
        # A precondition of a write says nothing of what is read.
        async with session.post(url, headers={"if-none-match": tag}) as answer:
            assert answer.status == 200


async def test_the_page_takes_no_path_from_calls_that_name_their_model(page: Any, pod: Any) -> None:
    page.kube.set_pod(QCA, pod.ports)
    for headers in ({"host": "qca.demo"}, {"atheria-model": "demo/qca"}):
        status, _, body = await _get(page.url("/live/fleet.json"), headers=headers)
        assert status == 200
        assert b'"pod": "pod"' in body


async def test_the_figures_tell_the_models_their_status_and_their_held_calls(page: Any, pod: Any) -> None:
    body = harness.model_object(QCA)
    body["spec"]["model"] |= {"source": "builtin://qca", "runtime": "atheria", "parameters": {"law": "nca"}}
    body["status"] |= {
        "replicas": 0,
        "readyReplicas": 0,
        "cost": {"reservedPer1000": 0.25, "basis": "measured"},
    }
    page.kube.put(Watched.MODELS, body)
    async with page.channel("qca.demo") as channel:
        call = channel.unary_unary("/t.S/Unary")(b"x")
        await eventually("a held call", lambda: page.held() == 1)
        shown = await _figures(page)
        found = _model(shown)
        assert shown["gateway"]["pod"] == "gateway-1"
        assert (shown["total"], shown["gateway"]["held"], found["held"]) == (2, 1, 1)
        assert (found["phase"], found["ready"], found["asked"]) == ("ScaledToZero", 0, 0)
        assert (found["source"], found["parameters"]) == ("builtin://qca", {"law": "nca"})
        assert (found["costPer1000Usd"], found["costBasis"]) == (0.25, "measured")
        assert found["lastDecision"] is None
        assert _model(shown, "kerr")["source"] is None
        page.kube.set_pod(QCA, pod.ports)
        assert await call == b"x"
    await _shows(page, "held", 0)


async def test_too_many_questions_for_figures_are_refused_and_calls_do_not_notice(
    page: Any, pod: Any
) -> None:
    page.kube.set_pod(QCA, pod.ports)
    assert (await _get(page.url("/live/fleet.json")))[0] == 200
    statuses: set[int] = set()
    async with asyncio.timeout(harness.WAIT_S):
        while 429 not in statuses:
            asked = (_get(page.url("/live/fleet.json")) for _ in range(4 * FIGURES_PER_S))
            statuses |= {status for status, _, _ in await asyncio.gather(*asked)}
    # 504 on a busy machine, where the activator has its time limit to answer the others.
    assert statuses <= {200, 429, 503, 504}
    async with page.channel("qca.demo") as channel:
        assert await channel.unary_unary("/t.S/Unary")(b"x", timeout=harness.WAIT_S) == b"x"


async def test_a_stream_wakes_its_model_and_reaches_it_under_the_models_own_path(page: Any, pod: Any) -> None:
    async with aiohttp.ClientSession() as session:
        asked = asyncio.ensure_future(session.ws_connect(page.url(STREAM + "?resume=7")))
        await eventually("a held stream", lambda: page.held() == 1)
        await eventually("a wake", lambda: (harness.ScaleTarget.MODEL, QCA) in page.kube.patches)
        page.kube.set_pod(QCA, pod.ports)
        async with await asyncio.wait_for(asked, harness.WAIT_S) as ws:
            await ws.send_str("x" * LARGE_BYTES)
            assert len((await ws.receive(timeout=harness.WAIT_S)).data) == LARGE_BYTES
            await _shows(page, "inFlight", 1)
    ((path, _),) = pod.upgrades
    assert path == "/v2/models/qca/stream?resume=7"


async def test_without_the_activator_the_files_and_the_streams_of_warm_models_are_still_served(
    page: Any, pod: Any
) -> None:
    page.kube.set_pod(QCA, pod.ports)
    async with aiohttp.ClientSession() as session:
        assert await _echoed(session, page.url(STREAM)) is None
        await page.stop_activator()
        assert (await _get(page.url("/live/")))[0] == 200
        assert (await _get(page.url("/live/fleet.json")))[0] == 503
        assert await _echoed(session, page.url(STREAM)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://elsewhere.example",
        "http://evil-{host}",
        "http://{host}.example",
        "null",
        "http://127.0.0.1:1",
        "{host}",
    ],
)
async def test_a_page_of_another_origin_opens_no_stream_and_wakes_nothing(page: Any, origin: str) -> None:
    host = f"127.0.0.1:{page.ports[1]}"
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(page.url(STREAM), headers={"origin": origin.format(host=host)})
    assert caught.value.status == 403
    assert page.held() == 0
    assert page.kube.patches == []


async def test_the_gateways_own_page_opens_streams_also_behind_a_proxy_that_ends_tls(
    page: Any, pod: Any
) -> None:
    page.kube.set_pod(QCA, pod.ports)
    host = f"127.0.0.1:{page.ports[1]}"
    async with aiohttp.ClientSession() as session:
        for origin in (f"http://{host}", f"https://{host}", f"HTTP://{host}"):
            assert await _echoed(session, page.url(STREAM), headers={"origin": origin}) is None
        own = {"origin": "https://lab.example", "host": "lab.example"}
        assert await _echoed(session, page.url(STREAM), headers=own, protocols=[PROTOCOL]) == PROTOCOL
    assert len(pod.upgrades) == 4
    assert not any("Sec-WebSocket-Protocol" in headers for _, headers in pod.upgrades)


async def test_with_keys_the_page_is_open_and_its_figures_and_streams_want_one(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()} notebook\n", encoding="utf-8")
    settings = {"has_live_page": True, "api_keys_file": str(keys), "access_log": "all"}
    async with _running(run_directory, **settings) as gateway, aiohttp.ClientSession() as session:
        gateway.kube.set_pod(QCA, pod.ports)
        assert (await _get(gateway.url("/live/")))[0] == 200
        status, _, body = await _get(gateway.url("/live/fleet.json"))
        assert status == 401
        assert b"the gateway wants a key" in body
        assert (await _figures(gateway, headers={"authorization": f"Bearer {KEY}"}))["total"] == 2

        def offered(key: str) -> list[str]:
            return [PROTOCOL, KEY_PROTOCOL + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")]

        assert await _echoed(session, gateway.url(STREAM), protocols=offered(KEY)) == PROTOCOL
        ((_, seen),) = pod.upgrades
        assert seen["x-atheria-caller"] == "key:notebook"
        assert {"authorization", "sec-websocket-protocol"}.isdisjoint(name.lower() for name in seen)
        for path, protocols in (
            (STREAM, ()),
            (STREAM, (PROTOCOL,)),
            (STREAM, offered("wrong")),
            (STREAM, offered("")),
            (STREAM, (KEY_PROTOCOL + "%%%",)),
            # Only where the gateway takes them away again.
            ("/v2/models/qca/stream", offered(KEY)),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await session.ws_connect(gateway.url(path), protocols=protocols)
            assert caught.value.status == 401

        def opened() -> list[dict[str, Any]]:
            lines = (json.loads(line) for line in gateway.envoy_lines() if line.startswith("{"))
            return [line for line in lines if line["status"] == 101]

        await eventually("the stream's line in the access log", lambda: bool(opened()))
        assert (opened()[0]["model"], opened()[0]["caller"]) == ("demo/qca", "key:notebook")
        log = "\n".join(gateway.envoy_lines())
        assert KEY not in log
        assert KEY_PROTOCOL not in log


@pytest.mark.parametrize("forwards_key", [False, True])
async def test_a_key_among_the_protocols_reaches_no_pod_also_where_the_path_is_the_models_own(
    run_directory: Path, tmp_path: Path, pod: Any, forwards_key: bool
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()} notebook\n", encoding="utf-8")
    shown = KEY_PROTOCOL + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
    settings = {"has_live_page": True, "api_keys_file": str(keys), "forwards_keys": forwards_key}
    async with _running(run_directory, **settings) as gateway, aiohttp.ClientSession() as session:
        gateway.kube.set_pod(QCA, pod.ports)
        bearer = {"authorization": f"Bearer {KEY}"}
        for names, path, headers in (
            ((shown,), STREAM, {"host": "qca.demo:8000"}),
            ((PROTOCOL, shown, "other"), STREAM, {"atheria-model": "demo/qca"}),
            # The key is in the header, and still offered.
            ((shown, "other"), "/v2/models/qca/stream", {"atheria-model": "demo/qca", **bearer}),
        ):
            assert await _echoed(session, gateway.url(path), protocols=names, headers=headers) is None
            seen_path, seen = pod.upgrades[-1]
            assert seen_path == path
            found = {name.lower(): value for name, value in seen.items()}
            assert found["x-atheria-caller"] == "key:notebook"
            assert found.get("authorization") == (f"Bearer {KEY}" if forwards_key else None)
            left = [name for name in names if name != shown]
            assert found.get("sec-websocket-protocol", "") == ", ".join(left)


async def test_with_tls_and_client_certificates_the_page_works_as_the_port_does(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    for name in ("authority", "server", "client"):
        certificate(tmp_path, name, None if name == "authority" else "authority")
    files = TlsFiles(
        certificate=str(tmp_path / "server.crt"),
        key=str(tmp_path / "server.key"),
        client_authority=str(tmp_path / "authority.crt"),
    )
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))
    async with _running(run_directory, has_live_page=True, tls=files) as gateway:
        gateway.kube.set_pod(QCA, pod.ports)
        base = f"https://localhost:{gateway.ports[1]}"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"{base}/live/", ssl=context)
        context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
        assert (await _get(f"{base}/live/", ssl=context))[0] == 200
        async with aiohttp.ClientSession() as session:
            assert await _echoed(session, base + STREAM, ssl=context, headers={"origin": base}) is None
