"""The page at a gateway that asks for keys: what it says without one, with a wrong and with a right one, and where the key is seen.

Browser, Envoy, activator and server are real; the cluster's objects are in memory, and what reaches the server's ports is recorded.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from bench.live_page.stack import ARGUMENTS, chromium_program
from tests.integration.gateway.harness import QCA, Gateway, Watched, model_object
from tests.integration.server.harness import Server

KEY: Final = "one + of / its own: Zq7vX2Lm9Tb4"
WRONG: Final = "not one of them: Yw8uK3Nd6Rc5"
WAIT_MS: Final = 90_000
_STORED: Final = """async () => JSON.stringify({
  address: location.href, state: history.state, cookies: document.cookie, names: window.name,
  local: { ...localStorage }, session: { ...sessionStorage },
  databases: await indexedDB.databases(), caches: await caches.keys(),
  workers: (await navigator.serviceWorker.getRegistrations()).length,
})"""


def forms(key: str) -> tuple[bytes, ...]:
    """The key as it is, and as it may be written elsewhere; Base64 of its end too, which is the same behind any beginning."""
    whole = key.encode()
    shifted = [base64.b64encode(b"x" * pad + whole)[4:-4] for pad in range(3)]
    return (whole, whole[-12:], base64.urlsafe_b64encode(whole)[:-4], *shifted)


def is_in(key: str, content: bytes) -> bool:
    return any(form in content for form in forms(key))


class Tap:
    """A port before a server's, with all that callers send to it."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition("/")[2].partition(":")
        self._target = host, int(port)
        self.received = bytearray()
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Tap]:
        tasks: set[asyncio.Task[None]] = set()

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pipe(reader, far_writer, self.received))
                    both.create_task(self._pipe(far_reader, writer, bytearray()))
            finally:
                tasks.discard(task)
                writer.close()
                far_writer.close()

        server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                seen.extend(part)
                writer.write(part)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A gateway that wants KEY, before a running model."""

    gateway: Gateway
    server: Server
    taps: tuple[Tap, Tap]
    url: str

    def logs(self, activator: str) -> bytes:
        """Of Envoy with all calls, of the activator, of the server."""
        return "\n".join((*self.gateway.envoy_lines(), activator, *self.server.lines)).encode()

    def seen_by_pod(self) -> bytes:
        return b"".join(bytes(tap.received) for tap in self.taps)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("builtin://qca", "--set", "law=kerr", "--warmup-shape", "16,64,64", name="qca") as found:
        yield found


@pytest.fixture
async def guarded(server: Server, tmp_path: Path) -> AsyncIterator[Guarded]:
    keys = tmp_path / "keys"
    keys.write_text(f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()} notebook\n", encoding="utf-8")
    body = model_object(QCA, replicas=1)
    body["spec"]["model"] |= {"source": "builtin://qca", "runtime": "atheria", "parameters": {"law": "kerr"}}
    body["status"] |= {"phase": "Serving", "replicas": 1, "readyReplicas": 1}
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        async with Tap(server.grpc).open() as grpc, Tap(server.http).open() as http:
            gateway = Gateway(Path(directory), has_live_page=True, api_keys_file=str(keys), access_log="all")
            gateway.kube.put(Watched.MODELS, body)
            gateway.kube.set_pod(QCA, (grpc.port, http.port))
            await gateway.start_envoy()
            await gateway.start_activator()
            try:
                await gateway.wait_until_routed()
                yield Guarded(
                    gateway=gateway,
                    server=server,
                    taps=(grpc, http),
                    url=gateway.url("/live/#side=64&seed=3"),
                )
            finally:
                await gateway.stop()


@dataclass(slots=True)
class Tab:
    """A Chromium with a profile on disk, and what its page asked for and said."""

    page: Any
    addresses: list[str]
    words: list[str]

    async def types(self, key: str) -> None:
        await self.page.get_by_label("Key", exact=True).fill(key)
        await self.page.keyboard.press("Enter")

    async def says(self, element: str, words: str) -> None:
        from playwright.async_api import expect

        await expect(self.page.locator(element)).to_contain_text(words, timeout=WAIT_MS)

    async def is_drawing(self) -> None:
        await self.page.wait_for_function(
            "() => Number(document.getElementById('frame').textContent) >= 70", timeout=WAIT_MS
        )


@pytest.fixture
async def browser() -> Any:
    program = chromium_program()
    if program is None:
        pytest.skip("no chromium on PATH: `atheria-local prerequisites --install` installs it")
    pytest.importorskip("playwright", reason="playwright is not installed: `make setup` installs it")
    from playwright.async_api import async_playwright

    async with async_playwright() as driver:

        @contextlib.asynccontextmanager
        async def opened(profile: Path, url: str) -> AsyncIterator[Tab]:
            context = await driver.chromium.launch_persistent_context(
                profile, executable_path=program, args=list(ARGUMENTS)
            )
            try:
                page = await context.new_page()
                tab = Tab(page, [], [])
                page.on("request", lambda request: tab.addresses.append(request.url))
                page.on("websocket", lambda socket: tab.addresses.append(socket.url))
                page.on("framenavigated", lambda frame: tab.addresses.append(frame.url))
                page.on("console", lambda message: tab.words.append(message.text))
                page.on("pageerror", lambda error: tab.words.append(str(error)))
                await page.goto(url)
                yield tab
            finally:
                await context.close()

        yield opened


def test_the_search_for_a_key_finds_it_however_it_is_written() -> None:
    for written in (
        KEY.encode(),
        b"Basic " + base64.b64encode(f"user:{KEY}".encode()),
        base64.urlsafe_b64encode(KEY.encode()).rstrip(b"="),
        KEY.replace(" ", "+").encode(),
    ):
        assert is_in(KEY, b"before " + written + b" behind"), written
    assert not is_in(KEY, WRONG.encode())


async def test_without_a_key_the_page_asks_for_one_and_says_where_it_goes(
    guarded: Guarded, browser: Any, tmp_path: Path
) -> None:
    async with browser(tmp_path / "profile", guarded.url) as tab:
        await tab.says("#status", "This gateway asks for a key. Type one of its API keys")
        await tab.says("#fleet-state", "This gateway asks for a key.")
        assert await tab.page.get_by_label("Key", exact=True).is_visible()
        assert await tab.page.get_by_role("button", name="Use this key").is_visible()
        assert await tab.page.locator("#models tr").count() == 0
        await tab.page.wait_for_timeout(1500)
        assert not any(one.startswith("ws") for one in tab.addresses)
    assert guarded.seen_by_pod() == b""


async def test_a_wrong_key_is_told_and_another_one_may_be_typed(
    guarded: Guarded, browser: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with browser(tmp_path / "profile", guarded.url) as tab:
        await tab.says("#status", "This gateway asks for a key.")
        for wrong in (WRONG, "“a key in a letter”"):
            await tab.types(wrong)
            await tab.says("#status", "The gateway does not know this key.")
            await tab.says("#fleet-state", "The gateway does not know this key.")
            assert await tab.page.get_by_label("Key", exact=True).is_visible()
        assert guarded.seen_by_pod() == b""
        await tab.types(KEY)
        await tab.is_drawing()
        await tab.says("#fleet-state", "1 model.")
        assert not await tab.page.locator("#key-form").is_visible()
    assert not is_in(WRONG, guarded.logs(caplog.text))


async def test_with_a_right_key_frames_flow_and_it_is_seen_by_the_gateway_alone(
    guarded: Guarded, browser: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    profile = tmp_path / "profile"
    async with browser(profile, guarded.url) as tab:
        await tab.says("#status", "This gateway asks for a key.")
        await tab.types(KEY)
        await tab.is_drawing()
        assert any(one.startswith("ws://") for one in tab.addresses)
        stored = await tab.page.evaluate(_STORED)
        assert json.loads(stored)["address"].startswith(guarded.url.partition("#")[0])
        kept = json.dumps(await tab.page.context.storage_state())
        for words in (stored, kept, *tab.addresses, *tab.words):
            assert not is_in(KEY, words.encode()), words
        await tab.page.reload()
        await tab.says("#status", "This gateway asks for a key.")
        assert await tab.page.get_by_label("Key", exact=True).input_value() == ""

    seen = guarded.seen_by_pod()
    assert b"/v2/models/qca/stream" in seen
    assert b"x-atheria-caller: key:notebook" in seen
    assert b"authorization" not in seen.lower()
    assert b"sec-websocket-protocol" not in seen.lower()
    assert not is_in(KEY, seen)
    logs = guarded.logs(caplog.text)
    assert b"key:notebook" in logs
    assert not is_in(KEY, logs)
    on_disk = [file for file in profile.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(on_disk) > 10
    assert [file.name for file in on_disk if is_in(KEY, file.read_bytes())] == []
