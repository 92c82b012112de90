"""Runs `atheria-server` as a process of its own and talks to it; every wait is bounded and says what it waited for."""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
import tritonclient.grpc as triton

from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub

SERVED = Path(__file__).with_name("served")
GATE_SOURCE = "python://gate_model:GateApi"
START_SECONDS = 180
CALL_SECONDS = 60


def eventually(what: str, look: Callable[[], Any], seconds: float = 30) -> Any:
    """The first truthy value of `look`; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        if value := look():
            return value
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


class Server:
    """A running server. `with Server(...) as server:` waits until it is ready and ends it with SIGTERM."""

    def __init__(self, source: str, *arguments: str, name: str = "m", wait_ready: bool = True) -> None:
        self._run(source, "--name", name, *arguments, name=name, wait_ready=wait_ready)

    @classmethod
    def from_arguments(cls, *arguments: str) -> Self:
        """Without SOURCE and --name."""
        server = cls.__new__(cls)
        server._run(*arguments, name="m", wait_ready=True)
        return server

    def _run(self, *arguments: str, name: str, wait_ready: bool) -> None:
        self.name = name
        self.lines: list[str] = []
        self._wait_ready = wait_ready
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "atheria_server", "serve", "--host", "127.0.0.1"),
                *("--grpc-port", "0", "--http-port", "0", "--drain-delay", "0", *arguments),
            ],
            env=os.environ | {"PYTHONPATH": str(SERVED), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            process_group=0,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            ports = self.wait_line(r"event=listening .*grpc_port=(\d+) http_port=(\d+)")
            self.grpc = f"127.0.0.1:{ports[1]}"
            self.http = f"http://127.0.0.1:{ports[2]}"
            if self._wait_ready:
                self.wait_line(r"event=ready ")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_line(self, pattern: str) -> re.Match[str]:
        """The first line of the log that matches."""

        def look() -> re.Match[str] | None:
            found = next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)
            ended = self.process.poll() is not None and not self._reader.is_alive()
            assert found or not ended, f"the server ended before {pattern!r}:\n" + "\n".join(self.lines)
            return found

        return eventually(f"{pattern!r} in the log:\n" + "\n".join(self.lines), look, START_SECONDS)

    def wait_exit(self) -> int:
        """The exit code, once all lines are read."""
        code = self.process.wait(START_SECONDS)
        self._reader.join(10)
        return code

    def stub(self) -> Stub:
        return Stub(self.grpc, self.name)

    def metric(self, name: str) -> float:
        """Sum of a metric's samples."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=CALL_SECONDS) as answer:
            text = answer.read().decode()
        return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def wait_queue_depth(self, value: int) -> None:
        """The only way to know from outside that calls have arrived."""
        eventually(f"queue depth {value}", lambda: self.metric("atheria_queue_depth") == value)

    def wait_in_flight(self, value: int) -> None:
        eventually(f"{value} in flight", lambda: self.metric("atheria_requests_in_flight") == value)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))


class Stub:
    """Raw gRPC calls with the protocol's own messages, for requests that no client library would send."""

    def __init__(self, target: str, model: str) -> None:
        sizes = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.insecure_channel(target, options=sizes)
        self.oip = GRPCInferenceServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.model = model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def request(self, x: Any = ((1.0,),), outputs: tuple[str, ...] = (), **parameters: Any) -> Any:
        array = np.asarray(x, np.float32)
        message = pb.ModelInferRequest(model_name=self.model, id="7")
        message.inputs.add(name="x", datatype="FP32", shape=array.shape)
        message.raw_input_contents.append(array.tobytes())
        for name in outputs:
            message.outputs.add(name=name)
        for key, value in parameters.items():
            field = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[
                type(value)
            ]
            setattr(message.parameters[key], field, value)
        return message

    def infer(self, message: Any, timeout: float = CALL_SECONDS) -> dict[str, Any]:
        return arrays(self.oip.ModelInfer(message, timeout=timeout))

    def begin(self, message: Any, timeout: float = CALL_SECONDS) -> Any:
        """Send without waiting; gives grpc's future."""
        return self.oip.ModelInfer.future(message, timeout=timeout)


def arrays(answer: Any) -> dict[str, Any]:
    """The outputs of a ModelInferResponse."""
    types = {"FP32": np.float32, "INT64": np.int64}
    return {
        output.name: np.frombuffer(raw, types[output.datatype]).reshape(tuple(output.shape))
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


class Gate:
    """A FIFO that holds the worker; `wait_held` returns when the worker stands at it."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.path = str(folder / name)
        os.mkfifo(self.path)
        self._fd: int | None = None

    def wait_held(self) -> None:
        self._fd = eventually("the worker at the gate", self._try)[0]

    def open(self) -> None:
        """Let the worker go on."""
        assert self._fd is not None
        os.close(self._fd)
        self._fd = None

    @contextlib.contextmanager
    def held(self, stub: Stub) -> Iterator[Any]:
        """A call that keeps the worker busy inside the block; gives grpc's future."""
        call = stub.begin(stub.request(gate=self.path))
        self.wait_held()
        try:
            yield call
        finally:
            if self._fd is not None:
                self.open()

    def _try(self) -> tuple[int] | None:
        try:
            return (os.open(self.path, os.O_WRONLY | os.O_NONBLOCK),)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return None


class StreamClient:
    """tritonclient's stream, with its answers in a queue."""

    def __init__(self, target: str) -> None:
        self._client = triton.InferenceServerClient(target)
        self.answers: queue.Queue[tuple[Any, Any]] = queue.Queue()

    def __enter__(self) -> Self:
        self._client.start_stream(lambda result, error: self.answers.put((result, error)))
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_stream(cancel_requests=True)
        self._client.close()

    def send(self, model: str, inputs: list[Any], **options: Any) -> None:
        self._client.async_stream_infer(model, inputs, **options)

    def take(self) -> tuple[Any, Any]:
        return self.answers.get(timeout=CALL_SECONDS)

    def until_final(self) -> tuple[list[Any], Any]:
        """The frames' results and the final answer's."""
        frames = []
        while True:
            result, error = self.take()
            assert error is None, error
            if result.get_response().parameters["triton_final_response"].bool_param:
                return frames, result
            frames.append(result)


def tensor(name: str, values: Any, datatype: str = "FP32") -> triton.InferInput:
    """An input for tritonclient."""
    array = np.asarray(values)
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made
