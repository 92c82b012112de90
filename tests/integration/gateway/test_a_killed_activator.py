"""Held calls outlive the activator: Envoy asks its successor."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.integration.gateway import harness
from tests.integration.gateway.harness import QCA, eventually


async def _activator(gateway: Any, cluster: Path, held: Path) -> asyncio.subprocess.Process:
    held.write_text("0", encoding="utf-8")  # noqa: ASYNC240 - small
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            str(Path(__file__).with_name("activator_process.py")),
            str(gateway.directory),
            str(cluster),
            str(held),
        ),
    )


def _number(file: Path) -> int:
    text = file.read_text(encoding="utf-8")
    return int(text) if text else -1


async def test_all_held_calls_come_through_after_the_activator_was_killed(
    run_directory: Path, tmp_path: Path, pod: Any
) -> None:
    gateway = harness.Gateway(run_directory)
    cluster, held = tmp_path / "cluster.json", tmp_path / "held"

    def put(ports: tuple[int, int] | None) -> None:
        state = {"models": [harness.model_object(QCA)], "slices": [harness.slice_object(QCA, ports)]}
        part = tmp_path / "part"
        part.write_text(json.dumps(state), encoding="utf-8")
        part.replace(cluster)

    put(None)
    await gateway.start_envoy()
    first = await _activator(gateway, cluster, held)
    second = None
    try:
        await gateway.wait_until_routed()
        async with gateway.channel() as channel:
            unary = channel.unary_unary("/t.S/Unary")
            calls = [unary(b"x" * 200_000) for _ in range(20)]
            await eventually("20 held calls", lambda: _number(held) == 20)
            first.kill()
            await first.wait()
            # Away for as long as a container takes that is started again: Envoy has asked many times by then.
            await asyncio.sleep(4)
            second = await _activator(gateway, cluster, held)
            await eventually("a call held by the successor", lambda: _number(held) >= 1, 30)
            await eventually("all calls held by the successor", lambda: _number(held) == 20, 5)
            put(pod.ports)
            async with asyncio.timeout(60):
                assert [len(await call) for call in calls] == [200_000] * 20
    finally:
        for process in (first, second):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
        await gateway.stop()
