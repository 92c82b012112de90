"""The unmodified tritonclient over one connection, with its errors as sentences. Called by `infer`, `stream`, `bench`, `demo`."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from atheria_cli.calls.gateway import Connection
from atheria_cli.calls.inputs import Array, Declared, datatype_of
from atheria_cli.calls.statuses import exit_code_of, status_of
from atheria_cli.errors import CommandError, ExitCode
from atheria_contract import names

_FINAL: Final = "triton_final_response"


class CallError(CommandError):
    """A call was refused, or nobody answered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Outputs by name in the order of the answer, and its parameters."""

    outputs: Mapping[str, Array]
    parameters: Mapping[str, Any]


class ModelClient:
    """Calls of one model."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = triton.InferenceServerClient(
            connection.address, ssl=bool(connection.tls), **connection.tls
        )

    def close(self) -> None:
        """Free the channel."""
        self._client.close()

    def declared(self, timeout_seconds: float) -> tuple[Declared, ...]:
        """The model's inputs, from its metadata; a model at zero is woken and waited for. Raises CallError."""
        with _told(self._connection):
            metadata = self._client.get_model_metadata(
                self._connection.model, headers=self._connection.headers, client_timeout=timeout_seconds
            )
        return tuple(
            Declared(name=one.name, datatype=one.datatype, shape=tuple(one.shape)) for one in metadata.inputs
        )

    def infer(
        self,
        arrays: Mapping[str, Array],
        parameters: Mapping[str, Any],
        outputs: Sequence[str],
        declared: Sequence[Declared],
        timeout_seconds: float,
    ) -> Answer:
        """One call. `outputs` empty = all. Raises CallError in the server's words."""
        with _told(self._connection):
            result = self._client.infer(
                self._connection.model,
                inputs_of(arrays, declared),
                outputs=[triton.InferRequestedOutput(name) for name in outputs] or None,
                parameters=dict(parameters) or None,
                headers=self._connection.headers,
                client_timeout=timeout_seconds,
            )
        return _answer(result)

    def stream(
        self,
        arrays: Mapping[str, Array],
        parameters: Mapping[str, Any],
        outputs: Sequence[str],
        declared: Sequence[Declared],
        timeout_seconds: float,
    ) -> Iterator[Answer]:
        """Answers as they are computed; `timeout_seconds` between two of them. Raises CallError."""
        frames: queue.Queue[tuple[Any, InferenceServerException | None]] = queue.Queue()
        self._client.start_stream(
            lambda result, error: frames.put((result, error)), headers=self._connection.headers
        )
        try:
            with _told(self._connection):
                self._client.async_stream_infer(
                    self._connection.model,
                    inputs_of(arrays, declared),
                    outputs=[triton.InferRequestedOutput(name) for name in outputs] or None,
                    parameters=dict(parameters) or None,
                    enable_empty_final_response=True,
                )
            while True:
                try:
                    result, error = frames.get(timeout=timeout_seconds)
                except queue.Empty:
                    raise CallError(
                        f"no answer within {timeout_seconds:g} s of the last; --timeout gives it longer",
                        ExitCode.TIMEOUT,
                    ) from None
                with _told(self._connection):
                    if error is not None:
                        raise error
                answer = _answer(result)
                if answer.outputs:
                    yield answer
                if answer.parameters.get(_FINAL):
                    return
        finally:
            self._client.stop_stream(cancel_requests=True)


@contextmanager
def _told(connection: Connection) -> Iterator[None]:
    try:
        yield
    except InferenceServerException as error:
        status = status_of(error)
        words = f"{status}: {error.message()}" if status else str(error.message())
        raise CallError(
            f"{connection.headers[names.HEADER_MODEL]} at {connection.address}: {words}", exit_code_of(error)
        ) from error
    except grpc.RpcError as error:
        raise CallError(f"{connection.address}: {error}", ExitCode.UNREACHABLE) from error


def inputs_of(arrays: Mapping[str, Array], declared: Sequence[Declared]) -> list[triton.InferInput]:
    """Tensors of a call, in the declared datatypes or, where there are none, in the arrays' own."""
    datatypes = {one.name: one.datatype for one in declared}
    found = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), datatypes.get(name) or datatype_of(array))
        tensor.set_data_from_numpy(array)
        found.append(tensor)
    return found


def _answer(result: Any) -> Answer:
    response = result.get_response()
    return Answer(
        outputs={one.name: result.as_numpy(one.name) for one in response.outputs},
        parameters={
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in response.parameters.items()
            if value.WhichOneof("parameter_choice")
        },
    )
