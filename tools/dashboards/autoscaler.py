"""Autoscaler: what it sees, what it decides and why."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.board import Board, Section
from tools.dashboards.panels import Look, Query, bars, timeseries
from tools.dashboards.queries import ONE_MODEL, gained, or_none, or_zero, selected, total
from tools.dashboards.variables import MODELS, NAMESPACES

_M: Final = ONE_MODEL
_ASLEEP: Final = "nothing to decide"

_INPUTS: Final = Section(
    title="Inputs",
    panels=(
        timeseries(
            "Calls that it counts with",
            "Held at gateways and in flight in pods. No line: nobody calls, the model is as small as it may be, and nothing is decided.",
            Look(unit="short", empty=_ASLEEP),
            Query(expr=total(names.METRIC_SCALING_CALLS, _M, by="state"), legend="{{state}}"),
        ),
        timeseries(
            "Arrivals that it counts with",
            "Over the stable window, and over the short one that bursts are seen in (less what may be chance).",
            Look(unit="reqps", empty=_ASLEEP),
            Query(expr=total(names.METRIC_SCALING_ARRIVALS, _M, by="window"), legend="{{window}}"),
        ),
        timeseries(
            "Time that a pod works on a call",
            "Measured; arrivals times this is the offered load, which target is applied to.",
            Look(unit="s", empty="not measured yet"),
            Query(
                expr=f"max by (namespace, model) ({selected(names.METRIC_SCALING_SERVICE_SECONDS, _M)})",
                legend="{{namespace}}/{{model}}",
            ),
        ),
    ),
)

_OUTPUTS: Final = Section(
    title="Decisions",
    panels=(
        timeseries(
            "Desired and ready",
            "Pods decided and pods that answer. The gap is the time that pods take to start.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_DESIRED_REPLICAS, _M), legend="desired"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _M), legend="ready"),
        ),
        timeseries(
            "Pods by what they are",
            "Ready, on their way, and those for which there is no node: more of the last are not asked for.",
            Look(unit="short", empty=_ASLEEP),
            Query(expr=total(names.METRIC_SCALING_PODS, _M, by="state"), legend="{{state}}"),
            is_stacked=True,
        ),
        bars(
            "Changes by reason",
            "How often the autoscaler has changed a number of pods since the operator started, by the reason that status.lastDecisions "
            "shows too.",
            Look(unit="short", empty="none yet"),
            Query(
                expr=or_none(total(names.METRIC_SCALE_EVENTS, _M, by="reason"), "reason"), legend="{{reason}}"
            ),
        ),
        timeseries(
            "Changes over time, by reason",
            "Changes of a number of pods. A model that goes up and down without end: raise scaleDownDelay or idleTimeout.",
            Look(unit="short"),
            Query(
                expr=or_none(gained(names.METRIC_SCALE_EVENTS, _M, by="reason"), "reason"),
                legend="{{reason}}",
            ),
            width=12,
        ),
        timeseries(
            "Wakes from zero",
            "Models that gateways took from 0 to 1; they need no operator for it.",
            Look(unit="short"),
            Query(
                expr=or_zero(gained(names.METRIC_GATEWAY_WAKES, _M)),
                legend="wakes",
            ),
            width=12,
        ),
    ),
)

AUTOSCALER: Final = Board(
    uid="atheria-autoscaler",
    title="Atheria / Autoscaler",
    description="What the autoscaler sees, what it decides and why.",
    sections=(_INPUTS, _OUTPUTS),
    variables=(NAMESPACES, MODELS),
)
