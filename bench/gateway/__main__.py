"""`python -m bench.gateway`: tables of what the gateway costs, as Markdown on stdout."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from bench.gateway.client import Load
from bench.gateway.echo import PLACES
from bench.gateway.report import Piece, table
from bench.gateway.ways import DIRECT, GATEWAY, PLAIN, Way, running
from bench.serving.processes import ONE_THREAD, ServerProcess, cpu_seconds

ROOT: Final = Path(__file__).parents[2]


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    shapes = [(size, callers) for callers in options.callers for size in options.bytes]
    shuffle = random.Random(1)
    pieces: list[Piece] = []
    before = os.getloadavg()[0]
    for number in range(options.rounds):
        # A round starts all processes anew: where the kernel puts them is part of the spread.
        with (
            tempfile.TemporaryDirectory(prefix="gwb-") as folder,
            running(Path(folder), options.concurrency, options.compute_ms) as (ways, pod),
            _client() as client,
        ):
            for way in options.ways:
                # Until all is there: what starting costs is no part of a call.
                first = Load(target=ways[way].target, bytes_each=1000, callers=1, seconds=0.1)
                _turn(number, way, ways[way], pod, client, first)
            for bytes_each, callers in shapes:
                for _ in range(options.turns):
                    for way in shuffle.sample(options.ways, len(options.ways)):
                        load = Load(
                            target=ways[way].target,
                            bytes_each=bytes_each,
                            callers=callers,
                            seconds=options.seconds,
                        )
                        pieces.append(_turn(number, way, ways[way], pod, client, load))
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    print(
        f"Measured {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} on {os.cpu_count()} processors; {options.rounds} rounds of "
        f"{options.turns} turns of {options.seconds:g} s; Envoy with {options.concurrency} threads; the pod computes for {options.compute_ms:g} ms; the machine's load was {before:.1f} "
        f"before and {os.getloadavg()[0]:.1f} at the end.\n"
    )
    print(table(pieces))
    return 0


def _turn(
    number: int, name: str, way: Way, pod: ServerProcess, client: subprocess.Popen[str], load: Load
) -> Piece:
    between, at_pod = _cpu(way), cpu_seconds(pod.token)
    _pipe(client.stdin).write(json.dumps(asdict(load)) + "\n")
    _pipe(client.stdin).flush()
    line = _pipe(client.stdout).readline()
    if not line:
        raise SystemExit(f"the client ended while it called {name}: see above")
    return Piece(
        round=number,
        way=name,
        bytes_each=load.bytes_each,
        callers=load.callers,
        between_cpu_seconds=_cpu(way) - between,
        pod_cpu_seconds=cpu_seconds(pod.token) - at_pod,
        **json.loads(line),
    )


def _cpu(way: Way) -> float:
    return sum(cpu_seconds(token) for token in way.tokens)


@contextmanager
def _client() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.gateway.client"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD},
    ) as client:
        try:
            yield client
        finally:
            client.kill()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of all loads (default 8)")
    parser.add_argument("--turns", type=int, default=4, help="of every way and load in a round (default 4)")
    parser.add_argument("--seconds", type=float, default=0.6, help="of a turn (default 0.6)")
    parser.add_argument("--bytes", type=int, nargs="+", default=[1000, 65536], help="of a call, each way")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 16], help="at once, on one connection")
    parser.add_argument("--concurrency", type=int, default=1, help="threads of Envoy (default 1)")
    parser.add_argument(
        "--compute-ms",
        type=float,
        default=0.0,
        help=f"the pod takes so long for a call, {PLACES} at once, without using the processor (default 0)",
    )
    parser.add_argument(
        "--ways", nargs="+", default=[DIRECT, PLAIN, GATEWAY], choices=[DIRECT, PLAIN, GATEWAY]
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
