"""What the engine tells whoever counts: implemented by `metrics` and `traced_metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from atheria_server.engine.calls import Call


class EngineEvents(Protocol):
    """What the engine tells the metrics."""

    def batch_sent(self, rows: int, waits: Sequence[float], members: Sequence[Call] = ()) -> None:
        """A batch of `rows` rows left the queue; seconds that each of its calls waited, and the calls."""

    def batch_computed(
        self,
        seconds: float,
        *,
        rows: int,
        calls: int,
        copy_seconds: float | None = None,
        device_seconds: float | None = None,
        members: Sequence[Call] = (),
    ) -> None:
        """A batch was computed: seconds inside the worker, for copies into and out of the shared memory, and, where the
        worker measured it, of the device's work."""

    def stream_sent(self, wait: float, member: Call | None = None) -> None:
        """A stream left the queue after `wait` seconds."""

    def stream_computed(self, seconds: float, *, rows: int) -> None:
        """A stream came to its end: seconds that its frames took in the worker."""

    def worker_loaded(self, seconds: float) -> None:
        """Seconds of import and setup."""

    def worker_warm(self, seconds: float) -> None:
        """Seconds of warm-up."""

    def batch_padded(self, length: int, *, used: int, rows: int) -> None:
        """The sequences of a batch were padded to `length`; `used` positions of its `rows` x `length` carry input."""

    def compiled(self, count: int, eager: int = 0) -> None:
        """After the warm-up, while a call waited: so often the model was compiled, and so often computed without its
        compiled form."""

    def model_prepared(self, report: Mapping[str, Any]) -> None:
        """What the newest worker made of the model: see `optimize.report`."""

    def decoded_before(self, hits: int, misses: int) -> None:
        """Requests of a LitAPI with a cache: so many had been decoded before, so many had not."""

    def text_reported(self, worker: int, report: Mapping[str, Any]) -> None:
        """What the continuous model of a worker (a process id) counted since its last report: `models.text.counts`."""

    def call_retried(self) -> None:
        """A call whose worker died is computed again."""

    def worker_restarted(self) -> None:
        """A new process took the place of one that died."""

    def slept(self, freed_bytes: int, host_bytes: int) -> None:
        """The workers rest: bytes freed on the device, and kept on the host for it."""

    def woke(self, seconds: float) -> None:
        """They can compute again, after so long."""
