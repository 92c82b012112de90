"""The end of a run as a table."""

from __future__ import annotations

from collections import Counter
from typing import Final

from bench.chaos.records import Call
from bench.chaos.scenario import Outcome

_SHOWN: Final = 20


def table(outcome: Outcome) -> str:
    """Many lines, the verdict last."""
    judged = outcome.verdict
    rows: list[tuple[str, str]] = [
        (
            "calls sent",
            f"{judged.sent}, {sum(1 for call in outcome.calls if call.is_stream)} of them streams",
        ),
        ("answered", str(judged.answered)),
    ]
    rows += [(f"lost: {cause}", str(count)) for cause, count in sorted(judged.by_cause.items())]
    rows += [
        ("begun more than once", str(len(judged.twice))),
        ("answered, never computed", str(len(judged.never_computed))),
        ("seconds to the answer", _latencies(outcome.calls)),
        ("waves 0→N→0", str(outcome.waves)),
        ("faults that hit", f"{sum(outcome.faults.values())}: {_counted(outcome.faults)}"),
        ("containers", f"{len(outcome.lives)}: {_counted(Counter(life.killed_by or 'ended' for life in outcome.lives))}"),
        ("ends of their own", str(outcome.own_ends or "none")),
        ("tracebacks in logs", _counted(outcome.tracebacks)),
    ]  # fmt: skip
    lines = ["", *(f"{name:34} {value}" for name, value in rows)]
    lines += ["", "children at the end, beside those of an undisturbed model with the same spec"]
    lines += [
        f"  {one.model:8} {one.kind:16} {one.name:24} {one.digest} {'=' if one.is_equal else '≠ ' + one.expected}"
        for one in outcome.children
    ]
    lines += [f"NOT AS ASKED  {complaint}" for complaint in outcome.complaints]
    lines += [
        f"lost  call {loss.call.id} to {loss.call.model}{' (stream)' if loss.call.is_stream else ''}: {loss.cause}: "
        f"{loss.where or 'nobody had it'}: {loss.call.failure or 'no answer'}"
        for loss in (*judged.unexplained, *judged.losses)[:_SHOWN]
    ]
    lines += [f"computed twice  call {call}" for call in judged.twice[:_SHOWN]]
    return "\n".join([*lines, "", "good" if outcome.is_good else "NOT GOOD"])


def _latencies(calls: tuple[Call, ...]) -> str:
    found = sorted(
        call.ended_seconds - call.sent_seconds
        for call in calls
        if call.is_answered and call.ended_seconds is not None
    )
    if not found:
        return "no answers"
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    words = [f"{name} {found[int(len(found) * share)]:.2f}" for share, name in shares]
    return ", ".join([*words, f"longest {found[-1]:.2f}"])


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
