"""Lateness against GPU seconds as SVG, a panel for each length of a start; needs matplotlib (extra `report`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from atheria_operator.simulation.fixed import FIXED_PREFIX
from bench.autoscaling.policies import KPA, OURS
from bench.autoscaling.report import Scenario, front_names

_SETTINGS: Final = {"svg.hashsalt": "atheria", "font.size": 9, "svg.fonttype": "none"}
_MARKS: Final = {
    OURS: ("*", "#c0392b"),
    KPA: ("o", "#3b7dd8"),
    "HPA": ("s", "#7f8c8d"),
    "KEDA + HPA": ("D", "#8e44ad"),
    "KubeAI": ("^", "#27ae60"),
    "AIBrix APA": ("v", "#d68910"),
    "llm-d SLO law": ("P", "#16a085"),
}
_WIDTH: Final = 1.5
"""The axis of GPU seconds ends at so many times what Atheria or Knative needs; who needs more is named at the edge."""
_MOST_LATE: Final = 45.0
"""Percent at which the axis ends: who is later is of no use to anybody."""


def plot(path: Path, title: str, scenarios: Sequence[Scenario]) -> None:
    """One figure for one hour."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 2.9 * ((len(scenarios) + 1) // 2)), layout="constrained")
        panels = figure.subplots((len(scenarios) + 1) // 2, min(2, len(scenarios)), squeeze=False).flat
        for axes, scenario in zip(panels, scenarios, strict=False):
            _panel(axes, scenario)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
        figure.suptitle(title)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without a date, equal plots are equal files.
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Any, scenario: Scenario) -> None:
    shown = [row for row in scenario.comparison.rows if 100 * row.late_share <= _MOST_LATE]
    bound = [point for point in scenario.comparison.bound if 100 * point.late_share <= _MOST_LATE]
    axes.plot(
        [point.gpu_seconds for point in bound],
        [100 * point.late_share for point in bound],
        "-",
        color="#bbbbbb",
        label="clairvoyant",
    )
    best = front_names(scenario.comparison)
    front = sorted((row for row in shown if row.policy in best), key=lambda row: row.gpu_seconds)
    axes.step(
        [row.gpu_seconds for row in front],
        [100 * row.late_share for row in front],
        ":",
        where="post",
        color="#555555",
        label="front of those that scale",
    )
    fixed = [row for row in shown if row.policy.startswith(FIXED_PREFIX)]
    axes.plot(
        [row.gpu_seconds for row in fixed],
        [100 * row.late_share for row in fixed],
        "x",
        color="#333333",
        label="fixed number",
    )
    for row in fixed:
        axes.annotate(
            row.policy.removeprefix(FIXED_PREFIX),
            (row.gpu_seconds, 100 * row.late_share),
            textcoords="offset points",
            xytext=(4, 3),
            fontsize=7,
        )
    settings = sorted((row for row in shown if row.policy.startswith(OURS)), key=lambda row: row.gpu_seconds)
    axes.plot(
        [row.gpu_seconds for row in settings],
        [100 * row.late_share for row in settings],
        "*-",
        color=_MARKS[OURS][1],
        linewidth=0.8,
        label="Atheria, other targets",
    )
    named = {row.policy: row for row in shown if row.policy in _MARKS}
    right = _WIDTH * max(named[name].gpu_seconds for name in (OURS, KPA) if name in named)
    top = 1.3 * max(5.0, *(100 * row.late_share for row in (*named.values(), *settings)))
    beyond = [row for row in named.values() if row.gpu_seconds > right]
    if beyond:
        words = "\n".join(f"{row.policy}: {row.gpu_seconds:,.0f} →" for row in beyond)
        axes.text(0.98, 0.95, words, transform=axes.transAxes, ha="right", va="top", fontsize=8)
    for row in shown:
        if row.policy in _MARKS:
            mark, color = _MARKS[row.policy]
            size = 13 if row.policy == OURS else 7
            axes.plot(
                [row.gpu_seconds],
                [100 * row.late_share],
                mark,
                color=color,
                markersize=size,
                label=row.policy,
            )
    axes.set_title(f"a start takes {scenario.start_seconds:g} s")
    axes.set_xlabel("GPU seconds")
    axes.set_ylabel("late, %")
    axes.set_xlim(0, right)
    axes.set_ylim(-0.03 * top, top)
