"""What a server does with three times the calls that it can answer: goodput, waiting, memory, and how it refuses.

The model sleeps for each batch, as a device computes beside the processor: the load then comes from one client process on the
same machine without taking from the server what it measures. Capacity is measured before and after, with closed-loop callers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.serving import model
from bench.serving.measure import ClientProcess, MeasurementError, running
from bench.serving.servers import SERVERS
from bench.serving.verdict import Verdict, quantile

OVERLOAD: Final = 3.0
GOODPUT_SHARE: Final = 0.9
GROWTH_SHARE: Final = 0.05
OFFERED_SHARE: Final = 0.95
BATCHES_AHEAD: Final = 2
"""Batches that have left the queue and are not answered: one computed, one ready behind it."""
_PEAK_SECONDS: Final = 5.0
_PEAK_CALLERS: Final = 64
_WARMUP_SECONDS: Final = 3.0
_SETTLED_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One run."""

    device_seconds: float
    queue_rows: int
    seconds: float
    peaks: tuple[float, float]
    """Calls per second before and after."""
    asked: float
    offered: float
    """Calls per second that the client meant to send, and sent."""
    goodput: float
    p50_seconds: float
    p99_seconds: float
    """From the time at which a call should have been sent to its answer; answered calls only."""
    late_seconds: float
    """How late the client sent at worst; part of the latencies."""
    refusals: tuple[tuple[str, str, int], ...]
    """Code, reason, count."""
    examples: tuple[str, ...]
    """One refusal of each code."""
    resident_bytes: tuple[tuple[float, int], ...]
    """Seconds, and memory of all the server's processes."""

    @property
    def goodput_shares(self) -> tuple[float, float]:
        """Goodput divided by the larger and by the smaller peak."""
        return self.goodput / max(self.peaks), self.goodput / min(self.peaks)

    @property
    def wait_bound_seconds(self) -> float:
        """Rows that a new call can find before it, itself included, times the seconds that one row takes."""
        return (self.queue_rows + BATCHES_AHEAD * model.MAX_BATCH) / min(self.peaks)

    @property
    def memory_growth(self) -> float:
        """Last seconds beside the first ones after the queue was full, as a share; 0.05 = 5 % more."""
        settled = [b for t, b in self.resident_bytes if _SETTLED_SECONDS <= t < 2 * _SETTLED_SECONDS]
        last = [b for t, b in self.resident_bytes if t >= self.seconds - _SETTLED_SECONDS]
        if not settled or not last:
            return float("nan")
        return median(last) / median(settled) - 1


def overload(
    *, client: ClientProcess, queue_rows: int, device_seconds: float, seconds: float, logs: Path, tree: Path
) -> Overload:
    """Measure Atheria over gRPC. Raises MeasurementError."""
    options = ("--max-queue-depth", str(queue_rows), "--set", f"device_seconds={device_seconds}")
    with running("overload", SERVERS["atheria"], sys.executable, logs, tree, *options) as server:
        closed = server.load(_PEAK_SECONDS, callers=_PEAK_CALLERS)
        before = _peak(client.drive(server, closed))
        rate = OVERLOAD * before
        opened = server.load(seconds, warmup_seconds=_WARMUP_SECONDS, calls_per_second=rate)
        seen = client.drive(server, opened)
        after = _peak(client.drive(server, closed))
    if not seen["answered"]:
        raise MeasurementError(f"under overload no call was answered; refusals: {seen['refusals']}")
    return Overload(
        device_seconds=device_seconds,
        queue_rows=queue_rows,
        seconds=seconds,
        peaks=(before, after),
        asked=rate,
        offered=seen["offered"] / seconds,
        goodput=seen["answered"] / seconds,
        p50_seconds=quantile(seen["latency_seconds"], 0.5),
        p99_seconds=quantile(seen["latency_seconds"], 0.99),
        late_seconds=seen["worst_delay_seconds"],
        refusals=tuple(
            (code, reason, count)
            for code, reasons in seen["refusals"].items()
            for reason, count in reasons.items()
        ),
        examples=tuple(seen["refusal_examples"].values()),
        resident_bytes=tuple((t, b) for t, b in seen["resident_bytes"]),
    )


def judgements(found: Overload) -> Sequence[tuple[str, str, Verdict]]:
    """Bar, what was measured, verdict. Nothing is decided if the client could not send what it meant to."""
    low, high = found.goodput_shares
    goodput = Verdict.UNDECIDED
    if low >= GOODPUT_SHARE or high < GOODPUT_SHARE:
        goodput = Verdict.MET if low >= GOODPUT_SHARE else Verdict.MISSED
    unnamed = sum(count for code, reason, count in found.refusals if not code or not reason)
    named = sum(count for _, _, count in found.refusals) - unnamed
    growth = found.memory_growth
    rows = [
        (f"goodput >= {GOODPUT_SHARE:.0%} of peak", f"{low:.1%} - {high:.1%}", goodput),
        (
            f"p99 of the accepted <= {found.wait_bound_seconds:.2f} s (rows before it x service time)",
            f"{found.p99_seconds:.2f} s",
            _met(found.p99_seconds <= found.wait_bound_seconds),
        ),
        (
            f"memory grows by <= {GROWTH_SHARE:.0%}",
            f"{growth:+.1%}",
            _met(growth <= GROWTH_SHARE) if growth == growth else Verdict.NO_RESULT,
        ),
        (
            "every refusal has a code and a reason",
            f"{named} have, {unnamed} have not",
            _met(unnamed == 0) if named + unnamed else Verdict.NO_RESULT,
        ),
    ]
    if found.offered < OFFERED_SHARE * found.asked:
        return [(bar, text, Verdict.NO_RESULT) for bar, text, _ in rows]
    return rows


def table(found: Overload) -> str:
    """Markdown."""
    memory = [b / 2**20 for _, b in found.resident_bytes]
    lines = [
        (
            f"Overload: {found.offered:.0f} calls/s offered for {found.seconds:g} s ({found.asked:.0f} meant), peak"
            f" {found.peaks[0]:.0f} calls/s before and {found.peaks[1]:.0f} after, {found.goodput:.0f} calls/s answered,"
            f" p50 {found.p50_seconds:.2f} s, client late by {found.late_seconds * 1e3:.0f} ms at worst; queue of {found.queue_rows} rows,"
            f" {found.device_seconds * 1e3:g} ms a batch of {model.MAX_BATCH}."
        ),
        "",
        "| bar | measured | verdict |",
        "|---|---|---|",
        *(f"| {bar} | {text} | {verdict.value} |" for bar, text, verdict in judgements(found)),
        "",
        "| refused with | reason | calls |",
        "|---|---|---|",
        *(f"| {code} | {reason or '(none)'} | {count} |" for code, reason, count in found.refusals),
    ]
    if memory:
        lines += [
            "",
            (
                f"Memory of all processes (RSS, shared pages counted for each): first {memory[0]:.0f}, last {memory[-1]:.0f},"
                f" largest {max(memory):.0f} MiB."
            ),
        ]
    return "\n".join(lines)


def document(found: Overload) -> Mapping[str, Any]:
    """For machines."""
    bars = [
        {"bar": bar, "measured": text, "verdict": verdict.value} for bar, text, verdict in judgements(found)
    ]
    return {**asdict(found), "bars": bars}


def _peak(seen: Mapping[str, Any]) -> float:
    if seen["refusals"]:
        raise MeasurementError(f"calls of closed-loop callers were refused: {seen['refusals']}")
    return float(seen["answered"] / seen["seconds"])


def _met(true: bool) -> Verdict:
    return Verdict.MET if true else Verdict.MISSED
