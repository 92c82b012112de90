"""Several jobs on one device: real servers with one, two, three workers, measured in turns under the same load.

Workers are processes, so they share a GPU by its own time slicing; CUDA streams inside a process and MPS are named in
the report and not measured. Called by `evaluate --workers`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from atheria_server.core.timings import Timings, times_faster
from atheria_server.models.contract import Scalar
from atheria_server.models.registry import load_served
from atheria_server.optimize.evaluation.server_process import ServerProcess, ServerProcessError
from atheria_server.optimize.profiling.calls import sample_call
from atheria_server.optimize.profiling.rounds import load_average
from atheria_server.optimize.profiling.stages import request_bytes

CALLERS_PER_WORKER: Final = 4
_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
NOT_MEASURED: Final = (
    "CUDA streams within a worker: not built; a worker computes one batch at a time, several workers fill a device",
    "MPS: not measurable here, it needs an NVIDIA GPU and its control daemon; the same workers would share the GPU",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Rounds by number of workers, all side by side."""

    source: str
    throughput: Mapping[int, tuple[float, ...]]
    """Answers per second, one value a round."""
    busy: Mapping[int, tuple[float, ...]]
    """Processor time of the workers by the round's time: 1 = one processor's worth."""
    load_average: float

    def to_json(self) -> dict[str, Any]:
        """For `--output json`."""
        return {
            "source": self.source,
            "load_average": self.load_average,
            "workers": {
                str(count): {
                    "answers_per_second": list(self.throughput[count]),
                    "busy_processors": list(self.busy[count]),
                }
                for count in self.throughput
            },
            "not_measured": list(NOT_MEASURED),
        }

    def markdown(self) -> str:
        """One table."""
        first = min(self.throughput)
        slow = _seconds(self.throughput[first])
        lines = [
            f"# Workers on one device: {self.source}",
            "",
            f"Load of the machine before: {self.load_average:.1f}; medians of interleaved rounds (lowest - highest).",
            "",
            f"| workers | answers/s | against {first} | processors busy in the workers |",
            "|---|---|---|---|",
        ]
        for count, values in self.throughput.items():
            ratio = "1" if count == first else times_faster(slow, _seconds(values)).text()
            lines.append(f"| {count} | {_range(values)} | {ratio} | {_range(self.busy[count])} |")
        return "\n".join([*lines, "", *(f"- {one}" for one in NOT_MEASURED)])


def measure_workers(
    source: str,
    arguments: Sequence[str],
    *,
    counts: Sequence[int],
    model_parameters: Mapping[str, Scalar],
    parameters: Mapping[str, Scalar],
    shape: Sequence[int],
    rounds: int,
    seconds: float,
) -> Concurrency:
    """Start a server for each number of workers, and load one after the other, the rest stopped.

    `arguments` are options of `serve`. Raises ServerProcessError.
    """
    before = load_average()
    api = load_served(source, model_parameters, "").main
    call = sample_call(api, shape, rows=1, parameters=parameters)
    request = request_bytes(call)
    throughput: dict[int, list[float]] = {count: [] for count in counts}
    busy: dict[int, list[float]] = {count: [] for count in counts}
    with ExitStack() as stack:
        servers = {}
        for count in counts:
            server = stack.enter_context(ServerProcess(source, [*arguments, "--workers", str(count)]))
            servers[count] = server
            _load(server, request, CALLERS_PER_WORKER * max(counts), seconds / 3)
            server.pause()
        for turn in range(rounds):
            order = [*counts] if turn % 2 == 0 else [*reversed(counts)]
            for count in order:
                server = servers[count]
                server.resume()
                processor = server.worker_seconds()
                began = time.perf_counter()
                answers = _load(server, request, CALLERS_PER_WORKER * max(counts), seconds)
                spent = time.perf_counter() - began
                throughput[count].append(answers / spent)
                busy[count].append((server.worker_seconds() - processor) / spent)
                server.pause()
    return Concurrency(
        source=source,
        throughput={count: tuple(values) for count, values in throughput.items()},
        busy={count: tuple(values) for count, values in busy.items()},
        load_average=before,
    )


def _load(server: ServerProcess, request: bytes, callers: int, seconds: float) -> int:
    """Answers within `seconds` to callers that send again as soon as they are answered. Raises ServerProcessError."""
    import grpc

    end = time.perf_counter() + seconds
    answers = itertools.count()
    failures: list[Exception] = []

    def call_on(infer: Callable[..., object]) -> None:
        try:
            while time.perf_counter() < end and not failures:
                infer(request, timeout=60)
                next(answers)
        except grpc.RpcError as error:
            failures.append(error)

    with grpc.insecure_channel(server.target, options=_UNBOUNDED) as channel:
        infer = channel.unary_unary(_METHOD)
        threads = [threading.Thread(target=call_on, args=(infer,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise ServerProcessError(f"a call to the server failed: {failures[0]}") from failures[0]
    return next(answers)


_UNBOUNDED: Final = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


def _seconds(values: Sequence[float]) -> Timings:
    return Timings(seconds=tuple(1 / value for value in values))


def _range(values: Sequence[float]) -> str:
    one = Timings(seconds=tuple(values))
    return f"{one.median:.2f} ({one.low:.2f} - {one.high:.2f})"
