"""What Envoy writes about calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from atheria_gateway.xds.access_log import AccessLog
from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, Watched, eventually


def _lines(gateway: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.envoy_lines() if line.startswith("{")]


@pytest.mark.parametrize("which", list(AccessLog))
async def test_calls_are_written_down_as_chosen(run_directory: Path, pod: Any, which: AccessLog) -> None:
    gateway = harness.Gateway(run_directory, access_log=which)
    gateway.kube.put(Watched.MODELS, harness.model_object(QCA))
    try:
        await gateway.start_envoy()
        await gateway.start_activator()
        await gateway.wait_until_routed()
        async with gateway.channel() as channel, aiohttp.ClientSession() as session:
            unary = channel.unary_unary("/t.S/Unary")
            held = asyncio.ensure_future(_answer(unary(b"held")))
            await eventually("a held call", lambda: gateway.held() == 1)
            gateway.kube.set_pod(QCA, pod.ports)
            await asyncio.wait_for(held, 20)
            await unary(b"warm", timeout=20)
            # The namespace is wrong.
            async with session.get(
                gateway.url("/v2/models/qca?key=secret"), headers={"atheria-model": "other/qca"}
            ) as answer:
                assert answer.status == 404
        expected = {AccessLog.ALL: 3, AccessLog.PROBLEMS: 2, AccessLog.OFF: 0}[which]
        if expected:
            await eventually("the lines", lambda: len(_lines(gateway)) >= expected)
        # Envoy writes what is left when it ends.
        await gateway.stop()
        lines = _lines(gateway)
        assert len(lines) == expected, lines
        assert "secret" not in "\n".join(gateway.envoy_lines())
        if lines:
            first, last = lines[0], lines[-1]
            assert (first["model"], first["revision"], first["status"]) == ("demo/qca", "qca-abc123", 200)
            assert float(first["held_seconds"]) > 0
            assert (last["status"], last["path"], last["held_seconds"]) == (404, "/v2/models/qca", None)
        if which is AccessLog.ALL:
            assert (lines[1]["model"], lines[1]["revision"]) == ("demo/qca", "qca-abc123")
            assert lines[1]["held_seconds"] is None
    finally:
        await gateway.stop()


async def test_an_answer_says_which_revision_gave_it_and_how_long_it_was_held(gateway: Any, pod: Any) -> None:
    async with gateway.channel() as channel:
        unary = channel.unary_unary("/t.S/Unary")
        call = unary(b"held")
        await eventually("a held call", lambda: gateway.held() == 1)
        gateway.kube.set_pod(QCA, pod.ports)
        held = dict(await call.initial_metadata())
        assert held["atheria-revision"] == "qca-abc123"
        assert float(held["atheria-held-seconds"]) > 0
        warm = dict(await unary(b"warm", timeout=20).initial_metadata())
        assert warm["atheria-revision"] == "qca-abc123"
        assert "atheria-held-seconds" not in warm


async def _answer(call: Any) -> bytes:
    answer: bytes = await call
    return answer
