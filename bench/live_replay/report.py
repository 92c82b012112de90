"""The figures side by side, as Markdown. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from bench.live_replay.figures import BAR, Figures, Learnt, differences, mean_figures, quantile


def table(live: Figures, runs: Mapping[str, Sequence[Figures]]) -> str:
    """Rows of figures; the columns are the real processes and the mean of each simulation's runs by its name, with its difference."""
    simulated = {name: mean_figures(found) for name, found in runs.items()}
    apart = {name: differences(live, one) for name, one in simulated.items()}
    head = "".join(f" {name} | difference |" for name in simulated)
    lines = [f"| | real processes |{head}", "|---|---|" + "---|---|" * len(simulated)]
    judged = (
        ("GPU-seconds", "GPU-seconds", lambda one: f"{one.gpu_seconds:,.0f}"),
        ("late share, %", "late share", lambda one: f"{100 * one.late_share:.1f}"),
        ("mean replicas", "mean replicas", lambda one: f"{one.mean_replicas:.2f}"),
    )
    for title, name, text in judged:
        cells = "".join(
            f" {text(one)} | {_percent(apart[which][name])} |" for which, one in simulated.items()
        )
        lines.append(f"| **{title}** | {text(live)} |{cells}")
    shown = (
        ("wait p50, s", lambda one: f"{quantile(one, 0.5):.2f}"),
        ("wait p95, s", lambda one: f"{quantile(one, 0.95):.2f}"),
        ("pods started", lambda one: f"{one.starts}"),
        ("calls without an answer", lambda one: f"{one.lost}"),
    )
    for title, text in shown:
        cells = "".join(f" {text(one)} | |" for one in simulated.values())
        lines.append(f"| {title} | {text(live)} |{cells}")
    ranges = "".join(
        f" {100 * min(shares):.1f} to {100 * max(shares):.1f} | |"
        for shares in ([one.late_share for one in found] for found in runs.values())
    )
    lines.append(f"| late share of the single runs, % | |{ranges}")
    return "\n".join(lines)


def told(learnt: Learnt) -> str:
    """What was measured and told to the simulator."""
    starts = sorted(learnt.start_seconds)
    ends = f"{statistics.fmean(learnt.end_seconds):.1f} s" if learnt.end_seconds else "none"
    price = "unknown" if learnt.usd_per_pod_hour is None else f"{learnt.usd_per_pod_hour:g} USD an hour"
    return (
        f"Measured and told to the simulator: {len(learnt.service_seconds)} calls' own seconds (mean "
        f"{statistics.fmean(learnt.service_seconds.values()):.2f} s), {len(starts)} starts of {starts[0]:.1f} to {starts[-1]:.1f} s "
        f"(mean {statistics.fmean(starts):.1f} s), {learnt.actuation_seconds:.2f} s from a number to its first pod, ends of {ends} on "
        f"average, price of a pod {price}."
    )


def is_within_bar(live: Figures, simulated: Figures) -> bool:
    """Whether no figure is further away than BAR."""
    return all(abs(one) <= BAR for one in differences(live, simulated).values())


def _percent(relative: float) -> str:
    return f"{100 * relative:+.0f} %"
