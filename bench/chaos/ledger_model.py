"""The model of the run's pods: the built-in echo, which writes down each call that it begins and ends.

The server imports it in every pod (`python://bench.chaos.ledger_model:LedgerApi`). A line is written before a call is computed
and one after, each by one write to the kernel, so a killed process leaves what it did.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from atheria_server.models.contract import Arrays, Batch, Frame
from atheria_server.models.echo import EchoApi
from bench.chaos.ledger import BEGUN, ENDED, ENV_LEDGER, line


class LedgerApi(EchoApi):
    """The first number of each row is the call's id; 0 is a warm-up."""

    def setup(self, device: str) -> None:
        """Open the ledger."""
        super().setup(device)
        self._ledger = os.open(os.environ[ENV_LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def predict(self, batch: Batch) -> Arrays:
        """As echo."""
        self._note(BEGUN, batch)
        answer = super().predict(batch)
        self._note(ENDED, batch)
        return answer

    def stream_frames(self, batch: Batch) -> Iterator[Frame]:
        """As echo."""
        self._note(BEGUN, batch)
        yield from super().stream_frames(batch)
        self._note(ENDED, batch)

    def _note(self, what: str, batch: Batch) -> None:
        now = time.monotonic()
        lines = [line(what, int(call), now) for call in batch.inputs["x"][:, 0] if call]
        if lines:
            os.write(self._ledger, "".join(lines).encode())
