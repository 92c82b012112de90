"""Processes of the demo without a cluster: they start whatever gRPC is doing, and end with the process that started them."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from atheria_local.standalone.parent import bound_to_this_process
from atheria_operator.adapters.clock import SystemClock
from atheria_operator.adapters.demand_sink import serve_demand
from atheria_operator.runtime.demand_board import DemandBoard
from atheria_operator.runtime.wakeups import Wakeups

pytestmark = pytest.mark.integration

CHILDREN = 100
"""With a fork between gRPC's threads 20 to 40 of them died of signals."""


async def call_for_ever(channel: grpc.aio.Channel) -> None:
    method = channel.unary_unary("/nobody.has/this")
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await method(b"")


async def test_children_started_amid_grpc_calls_all_run() -> None:
    sink, port = await serve_demand(DemandBoard(SystemClock(), Wakeups()), 0, "127.0.0.1")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        calls = [asyncio.create_task(call_for_ever(channel)) for _ in range(8)]
        codes = []
        for _ in range(CHILDREN):
            child = await asyncio.create_subprocess_exec(*bound_to_this_process(("/bin/sh", "-c", "exit 7")))
            codes.append(await asyncio.wait_for(child.wait(), 30))
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await sink.stop(0.5)
    assert codes == [7] * CHILDREN


STARTS_ONE = """
import subprocess, sys, time
from atheria_local.standalone.parent import bound_to_this_process
child = subprocess.Popen(bound_to_this_process(("/bin/sleep", "600")))
print(child.pid, flush=True)
time.sleep(600)
"""


def status_of(process: Path) -> str:
    """Empty once it is gone, also in the middle of the question."""
    try:
        return (process / "status").read_text()
    except OSError:
        return ""


def test_a_child_is_killed_with_the_process_that_started_it() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().strip()
        deadline = time.monotonic() + 30
        while "sleep" not in (child / "comm").read_text():
            assert time.monotonic() < deadline, "it never became the program"
            time.sleep(0.01)
        parent.kill()
    deadline = time.monotonic() + 30
    while (status := status_of(child)) and "State:\tZ" not in status:
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.01)


def test_a_child_whose_parent_is_gone_before_it_begins_does_not_run(tmp_path: Path) -> None:
    command = list(bound_to_this_process(("/bin/touch", str(tmp_path / "ran"))))
    command[4] = "1"  # another parent than the one that it has
    assert subprocess.run(command, check=False, timeout=30).returncode == 1
    assert not (tmp_path / "ran").exists()
