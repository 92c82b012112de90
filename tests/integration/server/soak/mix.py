"""Many callers of all kinds at once against one server, with its worker killed and stopped now and then; all from a seed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import grpc

from tests.integration.server.soak import processes
from tests.integration.server.soak.callers import CALLERS, Outcome, Target

CALLERS_AT_ONCE = 48
CALL_SECONDS = 60.0
"""No single call takes longer, or it hangs."""
STALL_SECONDS = 0.3


class Mix:
    """`run` makes calls; everything that went wrong is in `failures`, with what makes it again."""

    def __init__(self, seed: int, server_pid: int, *, grpc_port: int, http_port: int) -> None:
        self._seed = seed
        self._server_pid = server_pid
        self._ports = {"grpc_port": grpc_port, "http_port": http_port}
        self._next = 0
        self.outcomes: list[Outcome] = []
        self.failures: list[str] = []
        self.killed = 0
        self.peak_rss_bytes = 0
        """Of the front."""

    def run(self, calls: int, *, kills: int = 0, stalls: int = 0) -> None:
        """Make so many calls; returns when each is answered or was left by its caller."""
        asyncio.run(self._run(calls, kills, stalls))

    async def _run(self, calls: int, kills: int, stalls: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        address = f"127.0.0.1:{self._ports['grpc_port']}"
        channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(4)]
        target = Target(channels=channels, **self._ports)
        first, last = self._next, self._next + calls
        random = Random(f"{self._seed} chaos {first}")  # noqa: S311 - made again from its seed
        chaos = dict.fromkeys(random.sample(range(first, last), kills), True)
        chaos |= dict.fromkeys(random.sample(range(first, last), stalls), False)
        try:
            await asyncio.gather(*(self._caller(target, last, chaos) for _ in range(CALLERS_AT_ONCE)))
        finally:
            for channel in channels:
                await channel.close()

    async def _caller(self, target: Target, last: int, chaos: dict[int, bool]) -> None:
        while self._next < last:
            number = self._next
            self._next += 1
            if (kills := chaos.get(number)) is not None:
                await self._harm(kills)
            await self._call(target, number)

    async def _call(self, target: Target, number: int) -> None:
        random = Random(f"{self._seed} {number}")  # noqa: S311 - as above
        (caller,) = random.choices(list(CALLERS), list(CALLERS.values()))
        began = time.monotonic()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                self.outcomes += await caller(target, random, number + 1)
        except Exception as error:  # noqa: BLE001 - one failure must not end the others
            self.failures.append(
                f"{caller.__name__} {number} of seed {self._seed} after {time.monotonic() - began:.1f} s: {error!r}"
            )
        if number % 50 == 0:
            self.peak_rss_bytes = max(self.peak_rss_bytes, processes.use(self._server_pid).rss_bytes)

    async def _harm(self, kills: bool) -> None:
        for pid in processes.workers(self._server_pid)[:1]:
            with suppress(ProcessLookupError):
                if kills:
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1
                    continue
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(STALL_SECONDS)
                os.kill(pid, signal.SIGCONT)

    def summary(self) -> Sequence[str]:
        """One line a kind: how many ended in which way."""
        kinds: dict[str, Counter[str]] = {}
        for outcome in self.outcomes:
            kinds.setdefault(outcome.kind, Counter())[outcome.code] += 1
        return [f"{kind}: {_counts(codes)}" for kind, codes in sorted(kinds.items())]


def _counts(codes: Counter[str]) -> str:
    return ", ".join(f"{count} {code}" for code, count in codes.most_common())


def tags(outcomes: Sequence[Outcome], *codes: str) -> set[int]:
    """Of the good calls that ended so."""
    return {found.tag for found in outcomes if found.tag is not None and found.code in codes}


def read_log(path: Any) -> Counter[int]:
    """How often the model computed each tag (each row counts)."""
    lines = path.read_text().split()
    return Counter(
        int(line) for line in lines if line.lstrip("-").isdigit()
    )  # damaged messages hold nan and inf
