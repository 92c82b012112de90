"""The Kubernetes adapter against an API server that answers by script: lost places, large objects, conflicts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from atheria_gateway.adapters.kube import Kube, KubeError
from atheria_gateway.runtime.ports import Changed, Deleted, Listed, WatchEvent
from atheria_local.free_ports import free_port
from tests.integration.gateway.harness import QCA, ScaleTarget, Watched

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedApi:
    """Answers each request by the next handler of its kind: list, watch or scale."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, list[dict[str, Any]]]] = []
        self.watches: list[Handler] = []
        self.scales: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        if request.path.endswith("/scale"):
            self.asked.append(
                (request.method, request.path, await request.json() if request.can_read_body else None)
            )
            status, body = self.scales.pop(0)
            return web.json_response(body, status=status)
        if "watch" in request.query:
            self.asked.append(("WATCH", request.path, request.query["resourceVersion"]))
            return await self.watches.pop(0)(request) if self.watches else await _silence(request)
        version, items = self.lists.pop(0)
        return web.json_response({"metadata": {"resourceVersion": version}, "items": items})


async def _silence(request: web.Request) -> web.StreamResponse:
    return await _events()(request, keep_open=True)


def _events(*events: tuple[str, dict[str, Any]]) -> Any:
    async def stream(request: web.Request, *, keep_open: bool = False) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for kind, item in events:
            await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")
        if keep_open:
            await asyncio.Event().wait()
        return response

    return stream


def _model(name: str, version: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "demo", "name": name, "resourceVersion": version}, "spec": spec}


@pytest.fixture
async def api() -> AsyncIterator[ScriptedApi]:
    """A running scripted API server; its address is in `address`."""
    one = ScriptedApi()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", one.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    one.address = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    yield one
    await runner.cleanup()


@pytest.fixture
async def kube(api: Any) -> AsyncIterator[Kube]:
    """The adapter on the scripted server."""
    one = Kube(client.ApiClient(configuration=client.Configuration(host=api.address)), pod_namespace="s")
    yield one
    await one.close()


async def _take(kube: Kube, count: int) -> list[WatchEvent]:
    events: list[WatchEvent] = []
    follow = kube.follow(Watched.MODELS)
    async with asyncio.timeout(10):
        async for event in follow:
            events.append(event)
            if len(events) == count:
                break
    await follow.aclose()  # type: ignore[attr-defined]
    return events


async def test_changes_follow_the_list_and_the_watch_goes_on_where_it_ended(
    api: ScriptedApi, kube: Kube
) -> None:
    api.lists = [("5", [_model("qca", "3")])]
    api.watches = [
        _events(("MODIFIED", _model("qca", "6")), ("BOOKMARK", _model("", "8"))),
        _events(("DELETED", _model("qca", "9"))),
    ]
    listed, changed, deleted = await _take(kube, 3)
    assert isinstance(listed, Listed)
    assert isinstance(changed, Changed)
    assert isinstance(deleted, Deleted)
    assert [version for what, _, version in api.asked if what == "WATCH"] == ["5", "8"]


async def test_a_watch_whose_place_is_gone_lists_again(api: ScriptedApi, kube: Kube) -> None:
    api.lists = [("5", [_model("qca", "3")]), ("50", [_model("kerr", "40")])]
    api.watches = [_events(("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"}))]
    first, second = await _take(kube, 2)
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)
    assert [item["metadata"]["name"] for item in second.objects] == ["kerr"]


async def test_a_watch_that_is_refused_or_cut_in_the_middle_of_an_object_lists_again(
    api: ScriptedApi, kube: Kube
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"message": "etcd is away"}, status=500)

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "MODIFIED", "obj')
        assert request.transport is not None
        request.transport.abort()
        return response

    api.lists = [("5", []), ("6", []), ("7", [])]
    api.watches = [refuse, cut]
    events = await _take(kube, 3)
    assert all(isinstance(event, Listed) for event in events)


async def test_an_object_of_a_megabyte_comes_through_the_watch(api: ScriptedApi, kube: Kube) -> None:
    api.lists = [("5", [])]
    api.watches = [_events(("ADDED", _model("qca", "6", podTemplate="x" * 1_000_000)))]
    _, changed = await _take(kube, 2)
    assert isinstance(changed, Changed)
    assert len(changed.body["spec"]["podTemplate"]) == 1_000_000


def _scale(replicas: int, version: str = "7") -> dict[str, Any]:
    # As the API server writes it: a zero is left out.
    return {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas} if replicas else {}}


async def test_a_scale_at_zero_is_raised_to_one_at_the_version_that_was_read(
    api: ScriptedApi, kube: Kube
) -> None:
    api.scales = [(200, _scale(0)), (200, _scale(1))]
    assert await kube.scale_from_zero(ScaleTarget.MODEL, QCA)
    method, path, body = api.asked[-1]
    assert (method, path) == ("PATCH", "/apis/atheria.dev/v1alpha1/namespaces/demo/atheriamodels/qca/scale")
    assert body == {"metadata": {"resourceVersion": "7"}, "spec": {"replicas": 1}}


async def test_a_scale_above_zero_and_an_object_that_is_gone_are_left_alone(
    api: ScriptedApi, kube: Kube
) -> None:
    api.scales = [(200, _scale(3)), (404, {"message": "not found"})]
    assert not await kube.scale_from_zero(ScaleTarget.DEPLOYMENT, QCA)
    assert not await kube.scale_from_zero(ScaleTarget.DEPLOYMENT, QCA)
    assert {method for method, _, _ in api.asked} == {"GET"}


async def test_a_conflict_is_looked_at_again_and_the_higher_count_wins(api: ScriptedApi, kube: Kube) -> None:
    api.scales = [(200, _scale(0)), (409, {"message": "modified"}), (200, _scale(2, "8"))]
    assert not await kube.scale_from_zero(ScaleTarget.MODEL, QCA)
    api.scales = [(200, _scale(0)), (409, {"message": "modified"}), (200, _scale(0, "8")), (200, _scale(1))]
    assert await kube.scale_from_zero(ScaleTarget.MODEL, QCA)


async def test_a_refused_scale_is_an_error_in_the_api_servers_words(api: ScriptedApi, kube: Kube) -> None:
    api.scales = [(403, {"message": "gateway may not get atheriamodels/scale"})]
    with pytest.raises(KubeError, match=r"403: GET .*gateway may not get"):
        await kube.scale_from_zero(ScaleTarget.MODEL, QCA)
