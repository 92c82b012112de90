"""What the command line asks of a model, made ready to be sent. Used by `infer`, `stream` and `bench`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from atheria_cli.calls.client import Answer, ModelClient
from atheria_cli.calls.gateway import Connection, Destination, connect
from atheria_cli.calls.inputs import Array, Declared, parameters, tensors
from atheria_cli.kubectl import KubectlCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What is sent, and what is wanted back; texts as the person wrote them."""

    inputs: Sequence[str]
    parameters: Sequence[str]
    wanted: Sequence[str]
    """Outputs; empty = all."""
    timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call that can be made, on a connection that is open."""

    connection: Connection
    client: ModelClient
    declared: Sequence[Declared]
    arrays: Mapping[str, Array]
    parameters: Mapping[str, Any]
    wanted: Sequence[str]
    timeout_seconds: float
    waited_seconds: float
    """Until the model said what it takes: a model at zero is woken for it, so most of a person's wait is here."""

    def infer(self) -> Answer:
        """The one answer. Raises CallError."""
        return self.client.infer(
            self.arrays, self.parameters, self.wanted, self.declared, self.timeout_seconds
        )

    def stream(self) -> Iterator[Answer]:
        """Answers as they are computed. Raises CallError."""
        return self.client.stream(
            self.arrays, self.parameters, self.wanted, self.declared, self.timeout_seconds
        )


@contextmanager
def prepared(cluster: KubectlCommand, destination: Destination, options: CallOptions) -> Iterator[Request]:
    """The request for as long as the block runs; a model at zero is woken for its metadata. Raises CommandError."""
    sent = parameters(options.parameters)
    with connect(cluster, destination) as connection, closing(ModelClient(connection)) as client:
        began = time.monotonic()
        declared = client.declared(options.timeout_seconds)
        waited_seconds = time.monotonic() - began
        yield Request(
            connection=connection,
            client=client,
            declared=declared,
            arrays=tensors(options.inputs, declared),
            parameters=sent,
            wanted=options.wanted,
            timeout_seconds=options.timeout_seconds,
            waited_seconds=waited_seconds,
        )
