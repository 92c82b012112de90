"""From the measurements of a run to its JSON document and its Markdown tables; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from bench.serving.measure import Measured
from bench.serving.servers import BARE, BARE_IDLE, BUSY, IDLE, SERVERS
from bench.serving.verdict import Bar, Comparison, Rounds, differences, judge, ratios

Run = Mapping[int, Mapping[str, Mapping[str, Measured]]]
"""Round -> server -> load -> numbers."""

BARS: Final = (
    Bar(subject="atheria", reference=BARE, metric="throughput", limit=1.1),
    Bar(subject="atheria", reference="litserve-queues", metric="throughput", limit=2.0),
    Bar(subject="atheria", reference="mlserver", metric="throughput", limit=5.0),
    Bar(subject="atheria", reference="mlserver-workers", metric="throughput", limit=5.0),
    Bar(subject="atheria", reference="bentoml-json", metric="throughput", limit=20.0),
    Bar(subject="atheria", reference="litserve-json", metric="throughput", limit=20.0),
    Bar(subject="atheria", reference=BARE_IDLE, metric="p50_low_load_ms", limit=1.0),
)


def column(run: Run, load: str, number: str) -> Rounds:
    """One number of every server, round by round."""
    return {
        index: {name: getattr(loads[load], number) for name, loads in servers.items() if load in loads}
        for index, servers in run.items()
    }


def compared(run: Run, bar: Bar) -> Comparison:
    """The comparison that a bar is about."""
    if bar.metric == "throughput":
        return ratios(column(run, BUSY, "calls_per_second"), bar.subject, bar.reference)
    return differences(column(run, IDLE, "p50_ms"), bar.subject, bar.reference)


def tables(run: Run) -> str:
    """Markdown: every server beside the bare one, then the bars."""
    names = [name for name in SERVERS if any(name in servers for servers in run.values())]
    busy = [name for name in names if BUSY in SERVERS[name].loads]
    idle = [name for name in names if IDLE in SERVERS[name].loads]
    numbers = [
        column(run, BUSY, n) for n in ("calls_per_second", "p50_ms", "p99_ms", "server_cpu_ms_per_call")
    ]
    throughput, cpu = numbers[0], numbers[-1]
    lines = [
        "32 callers: median of the rounds (smallest - largest), each divided by the bare server of its round.",
        "",
        "| server | throughput | p50 | p99 | CPU a call | calls/s | CPU ms a call | rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in busy:
        cells = [_ratio(ratios(rounds, name, BARE)) for rounds in numbers]
        cells += [
            f"{_middle(throughput, name):.0f}",
            f"{_middle(cpu, name):.3f}",
            str(sum(name in row for row in throughput.values())),
        ]
        lines.append(f"| {SERVERS[name].title} | " + " | ".join(cells) + " |")
    latency = column(run, IDLE, "p50_ms")
    lines += [
        "",
        "One caller: median latency, and its distance to the bare server of the same round.",
        "",
        "| server | p50 ms | more than bare, ms |",
        "|---|---|---|",
    ]
    for name in idle:
        more = differences(latency, name, BARE_IDLE)
        lines.append(f"| {SERVERS[name].title} | {_middle(latency, name):.2f} | {_span(more, 2)} |")
    return "\n".join([*lines, "", *bar_lines(run)])


def bar_lines(run: Run) -> list[str]:
    """One line for each bar whose two sides were measured."""
    lines = ["| bar | measured | verdict |", "|---|---|---|"]
    for bar in BARS:
        comparison = compared(run, bar)
        if not comparison.values:
            continue
        ratio = bar.metric == "throughput"
        verdict = judge(comparison, bar.limit, at_least=bar.at_least, ratio=ratio)
        reference = SERVERS[bar.reference].title if bar.reference in SERVERS else bar.reference
        text = (
            f"throughput >= {bar.limit:g} x {reference}"
            if ratio
            else f"p50 of one caller <= {bar.limit:g} ms over {reference}"
        )
        lines.append(
            f"| {text} | {_ratio(comparison) if ratio else _span(comparison, 2)} | {verdict.value} |"
        )
    return lines


def document(run: Run) -> dict[str, Any]:
    """For machines: every measurement, and the bars."""
    bars = []
    for bar in BARS:
        comparison = compared(run, bar)
        if comparison.values:
            ratio = bar.metric == "throughput"
            verdict = judge(comparison, bar.limit, at_least=bar.at_least, ratio=ratio)
            bars.append({**asdict(bar), "values": comparison.values, "verdict": verdict.value})
    rounds = [
        {
            "round": index,
            "servers": {
                name: {load: asdict(numbers) for load, numbers in loads.items()}
                for name, loads in servers.items()
            },
        }
        for index, servers in run.items()
    ]
    return {"bars": bars, "rounds": rounds}


def _middle(rounds: Rounds, name: str) -> float:
    return median([row[name] for row in rounds.values() if name in row] or [float("nan")])


def _ratio(comparison: Comparison) -> str:
    """Never a number that the rounds do not support."""
    if not comparison.values:
        return "-"
    if not comparison.enough:
        return "too few rounds"
    if not comparison.is_ratio:
        return f"no ratio: {comparison.low:.2f} - {comparison.high:.2f}"
    digits = 2 if comparison.median >= 0.1 else 3
    return f"{comparison.median:.{digits}f} ({comparison.low:.{digits}f} - {comparison.high:.{digits}f})"


def _span(comparison: Comparison, digits: int) -> str:
    if not comparison.values:
        return "-"
    if not comparison.enough:
        return "too few rounds"
    return f"{comparison.median:+.{digits}f} ({comparison.low:+.{digits}f} - {comparison.high:+.{digits}f})"
