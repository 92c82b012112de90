"""From comparisons to Markdown; pure. Read by people in docs/benchmarks/autoscaling.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from atheria_operator.simulation.compare import Comparison, Row
from atheria_operator.simulation.fixed import FIXED_PREFIX
from atheria_operator.simulation.outcome import front
from bench.autoscaling.policies import KPA, OURS

SYNTHETIC_PREFIX: Final = "synthetic-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One table."""

    trace: str
    start_seconds: float
    first_replicas: int
    """Pods at the beginning of the hour, of those that may be at zero."""
    comparison: Comparison

    @property
    def is_shown_whole(self) -> bool:
        """Recorded hours that begin at zero; of the others the verdict is enough."""
        return self.first_replicas == 0 and not self.trace.startswith(SYNTHETIC_PREFIX)


def front_names(comparison: Comparison) -> frozenset[str]:
    """Policies that scale and that no other one which scales dominates; fixed numbers are chosen with hindsight."""
    scaling = [row.point for row in comparison.rows if not row.policy.startswith(FIXED_PREFIX)]
    return frozenset(point.name for point in front(scaling))


def tables(scenarios: Sequence[Scenario], *, usd_per_hour: float) -> str:
    """The verdicts first, then a table for each scenario that is shown whole."""
    parts = [_verdicts(scenarios)]
    parts += [_table(scenario, usd_per_hour) for scenario in scenarios if scenario.is_shown_whole]
    return "\n\n".join(parts)


def _verdicts(scenarios: Sequence[Scenario]) -> str:
    lines = [
        "| hour | start, s | pods at first | Atheria: GPU-s, late % | on the front | dominated by | KPA: GPU-s, late % | late share over KPA's | GPU-s over KPA's |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in scenarios:
        rows = {row.policy: row for row in one.comparison.rows}
        ours, kpa = rows[OURS], rows[KPA]
        dominators = ", ".join(one.comparison.dominators(OURS)) or "nobody"
        late = "-" if kpa.late_share == 0 else f"{ours.late_share / kpa.late_share:.2f}"
        lines.append(
            f"| {one.trace} | {one.start_seconds:g} | {one.first_replicas} | {_pair(ours)} | {'yes' if OURS in front_names(one.comparison) else 'no'} | {dominators} "
            f"| {_pair(kpa)} | {late} | {ours.gpu_seconds / kpa.gpu_seconds:.2f} |"
        )
    return "\n".join(lines)


def _pair(row: Row) -> str:
    return f"{row.gpu_seconds:,.0f}, {100 * row.late_share:.1f}"


def _table(scenario: Scenario, usd_per_hour: float) -> str:
    bound = scenario.comparison.bound[-1]
    best = front_names(scenario.comparison)
    lines = [
        f"### {scenario.trace}, a start takes {scenario.start_seconds:g} s",
        "",
        "| policy | GPU-s | USD | late % | wait p50, p95, p99, s | lost % | starts | wakes | cold calls | scalings | flips | regret |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(scenario.comparison.rows, key=lambda one: one.gpu_seconds):
        name = f"**{row.policy}**" if row.policy in best else row.policy
        waits = f"{row.p50_seconds:.1f}, {row.p95_seconds:.1f}, {row.p99_seconds:.1f}"
        regret = "-" if row.regret is None else f"{row.regret:.2f}"
        lines.append(
            f"| {name} | {row.gpu_seconds:,.0f} | {row.gpu_seconds / 3600 * usd_per_hour:.2f} | {100 * row.late_share:.1f} | {waits} "
            f"| {100 * row.lost_share:.1f} | {row.starts:.0f} | {row.wakes:.0f} | {row.cold_calls:.0f} | {row.scalings:.0f} "
            f"| {row.flips:.0f} | {regret} |"
        )
    lines += ["", f"Clairvoyant, nobody waits: {bound.gpu_seconds:,.0f} GPU-s."]
    return "\n".join(lines)
