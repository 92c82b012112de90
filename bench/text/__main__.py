"""The benchmark of the runtime `text`: `python -m bench.text --help`, from the repository's root.

Two servers of the same model differ in `places` alone: as many as there are callers, or one. They are measured in turn, the other
one taken off the processor, and only ratios of the same round are compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import tritonclient.grpc as triton

from atheria_local.free_ports import free_port
from bench.serving.processes import ServerProcess, cpu_seconds
from bench.serving.verdict import Comparison
from bench.text.workloads import Workload, workloads

RESULTS_HEADING: Final = "\n## Results\n"
CALLERS: Final = 16
START_SECONDS: Final = 300.0
CALL_SECONDS: Final = 600.0
_DATATYPES: Final = {"uint8": "UINT8", "int64": "INT64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One server in one round."""

    tokens_per_second: float
    cpu_seconds_per_token: float


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server."""

    process: ServerProcess
    port: int


def main() -> None:
    """Measure every workload; the table on stdout, progress on stderr."""
    options = _parser().parse_args()
    lines = [_conditions(options), "", *_head()]
    numbers = count(1)
    with tempfile.TemporaryDirectory(prefix="atheria-bench-text-") as folder:
        for workload in workloads():
            if options.only and workload.name not in options.only:
                continue
            lines.append(_row(workload, _measured(workload, options, Path(folder), numbers)))
    text = "\n".join(lines)
    if options.record:
        kept, heading, _ = options.record.read_text().partition(RESULTS_HEADING)
        if not heading:
            raise SystemExit(
                f"{options.record} has no line {RESULTS_HEADING.strip()!r} to write the results behind"
            )
        options.record.write_text(f"{kept}{heading}\n{text}\n")
    print(text)


def _measured(
    workload: Workload, options: argparse.Namespace, folder: Path, numbers: Iterator[int]
) -> list[tuple[Round, Round]]:
    """Of each round: the running batch, and one text at a time."""
    source = workload.source(folder / "model")
    rounds = []
    with ExitStack() as stack:
        both = [
            stack.enter_context(_server(workload, source, places, folder)) for places in (options.callers, 1)
        ]
        for served in both:
            _round(served, workload, 1, numbers)
            served.process.pause()
        for number in range(options.rounds):
            found = []
            for served in both:
                served.process.resume()
                found.append(_round(served, workload, options.callers, numbers))
                served.process.pause()
            rounds.append((found[0], found[1]))
            print(f"{workload.name} round {number + 1}: {found}", file=sys.stderr, flush=True)
    return rounds


@contextmanager
def _server(workload: Workload, source: str, places: int, folder: Path) -> Iterator[Served]:
    grpc, http = free_port(), free_port()
    settings = {**workload.parameters, "places": str(places), "threads": "1"}
    command = [
        *(sys.executable, "-m", "atheria_server", "serve", source, "--name", "m", "--host", "127.0.0.1"),
        *("--grpc-port", str(grpc), "--http-port", str(http), "--drain-delay", "0"),
        *(text for name, value in settings.items() for text in ("--set", f"{name}={value}")),
    ]
    with ServerProcess(command, folder / f"{workload.name}-{places}.log", {}, Path.cwd()) as process:
        end = time.monotonic() + START_SECONDS
        while not _is_ready(http):
            if time.monotonic() > end:
                raise SystemExit(
                    f"the server was not ready after {START_SECONDS:g} s:\n{process.last_lines()}"
                )
            time.sleep(0.2)
        yield Served(process=process, port=grpc)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready?wait=1", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _round(served: Served, workload: Workload, callers: int, numbers: Iterator[int]) -> Round:
    """Every caller makes one call."""
    calls = [next(numbers) for _ in range(callers)]
    used, began = cpu_seconds(served.process.token), time.perf_counter()
    with (
        triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client,
        ThreadPoolExecutor(callers) as pool,
    ):
        made = sum(pool.map(lambda number: _call(client, workload, number), calls))
    seconds = time.perf_counter() - began
    return Round(
        tokens_per_second=made / seconds,
        cpu_seconds_per_token=(cpu_seconds(served.process.token) - used) / made,
    )


def _call(client: triton.InferenceServerClient, workload: Workload, number: int) -> int:
    inputs = []
    for name, array in workload.inputs(number).items():
        item = triton.InferInput(name, list(array.shape), _DATATYPES[np.asarray(array).dtype.name])
        item.set_data_from_numpy(array)
        inputs.append(item)
    parameters = {"max_new_tokens": workload.new_tokens, "ignore_end": True}
    outputs = [triton.InferRequestedOutput("tokens")]
    answer = client.infer("m", inputs, outputs=outputs, parameters=parameters, client_timeout=CALL_SECONDS)
    return int(answer.as_numpy("tokens").size)


def _head() -> list[str]:
    return [
        "| Model and calls | One at a time, tokens/s | Running batch, tokens/s | Ratio | Spread | Ratio of processor time per token |",
        "|---|---|---|---|---|---|",
    ]


def _row(workload: Workload, rounds: Sequence[tuple[Round, Round]]) -> str:
    speed = Comparison(values=tuple(a.tokens_per_second / b.tokens_per_second for a, b in rounds))
    work = Comparison(values=tuple(b.cpu_seconds_per_token / a.cpu_seconds_per_token for a, b in rounds))
    batch = Comparison(values=tuple(a.tokens_per_second for a, _ in rounds))
    alone = Comparison(values=tuple(b.tokens_per_second for _, b in rounds))
    ratio = f"{speed.median:.1f} ×" if speed.is_ratio else "no result: the spread exceeds it"
    return (
        f"| {workload.title} | {alone.median:.0f} | {batch.median:.0f} | {ratio} | {speed.low:.1f} to {speed.high:.1f} | "
        f"{work.median:.1f} × ({work.low:.1f} to {work.high:.1f}) |"
    )


def _conditions(options: argparse.Namespace) -> str:
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}: {options.callers} callers over gRPC with a call each and round, "
        f"{options.rounds} rounds, medians; one thread of torch; {os.cpu_count()} processors, load average "
        f"{os.getloadavg()[0]:.1f} at the start."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.text", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="of each workload (default 5, at least 3 for a ratio)"
    )
    parser.add_argument("--callers", type=int, default=CALLERS, help="at a time (default 16)")
    parser.add_argument("--only", action="append", help="sceneline, decode or prefill; may be repeated")
    parser.add_argument(
        "--record",
        type=Path,
        help=f"Markdown file whose text behind {RESULTS_HEADING.strip()!r} becomes the table",
    )
    return parser


if __name__ == "__main__":
    main()
