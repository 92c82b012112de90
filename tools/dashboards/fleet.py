"""Fleet: how many models, pods and GPUs there are, what they cost now, and what of it is idle."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.board import Board, Section
from tools.dashboards.panels import Look, Query, bars, stat, table, timeseries
from tools.dashboards.queries import ONE_NAMESPACE, WINDOW, cost, or_none, rate, selected, total
from tools.dashboards.variables import NAMESPACES

_N: Final = ONE_NAMESPACE
_BY_MODEL: Final = "namespace, model"
_MODEL_LEGEND: Final = "{{namespace}}/{{model}}"
_NO_PRICE: Final = "no price known"
_CALLS: Final = f"sum(rate({selected(names.METRIC_GATEWAY_REQUESTS, _N)}{WINDOW}))"

_NOW: Final = Section(
    title="Now",
    panels=(
        stat(
            "Models",
            "AtheriaModels that the operator scales, those at zero included.",
            Look(unit="short"),
            Query(expr=f"count({selected(names.METRIC_DESIRED_REPLICAS, _N)})"),
        ),
        stat(
            "Pods ready",
            "Model pods that answer calls.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _N)),
        ),
        stat(
            "GPUs held",
            "Devices that model pods hold, loading pods included; pods on profiles without devices hold none.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_MODEL_DEVICES, _N)),
        ),
        stat(
            "Cost per hour",
            "Present pods times the price in their hardware profiles. Measured pods, price as the profile names it with source and date.",
            Look(unit="currencyUSD", empty=_NO_PRICE, decimals=2),
            Query(expr=total(names.METRIC_COST_PER_HOUR, _N)),
        ),
        stat(
            "Cost per 1000 calls",
            "Cost per hour over the calls of now: what 1000 calls cost at the present load, idle pods included. Empty while nobody calls.",
            Look(unit="currencyUSD", empty="no calls or no price", decimals=4),
            Query(expr=f"1000 / 3600 * {total(names.METRIC_COST_PER_HOUR, _N)} / ({_CALLS} > 0)"),
        ),
        stat(
            "Idle cost",
            "What ready pods without a call have cost in the time range above. Modelled: a pod is busy while the gateways report a call in "
            "flight for it.",
            Look(unit="currencyUSD", empty=_NO_PRICE),
            Query(expr=cost(_N, 'kind="idle"')),
        ),
    ),
)

_LOAD: Final = Section(
    title="Load and capacity",
    panels=(
        timeseries(
            "Calls by model",
            "Calls at the gateways, held ones included. Which models carry the load?",
            Look(unit="reqps"),
            Query(expr=rate(names.METRIC_GATEWAY_REQUESTS, _N, by=_BY_MODEL), legend=_MODEL_LEGEND),
        ),
        timeseries(
            "Held calls by model",
            "Calls that wait at gateways for a model without a ready pod. Peaks are cold starts; a plateau is a model that does not start.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_GATEWAY_HELD, _N, by=_BY_MODEL), legend=_MODEL_LEGEND),
        ),
        timeseries(
            "Ready pods by model",
            "Pods that answer calls.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _N, by=_BY_MODEL), legend=_MODEL_LEGEND),
            is_stacked=True,
        ),
        timeseries(
            "Devices by hardware profile",
            "GPUs that model pods hold, by the profile that they were asked for with. 0 on profiles without devices, such as cpu.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_MODEL_DEVICES, _N, by="profile"), legend="{{profile}}"),
            is_stacked=True,
        ),
        timeseries(
            "Pods wanted and not ready",
            "What the autoscaler has decided less what answers. Longer than a cold start: no node, no GPU, or a pod that fails.",
            Look(unit="short"),
            Query(
                expr=f"clamp_min({total(names.METRIC_DESIRED_REPLICAS, _N, by=_BY_MODEL)}"
                f" - {total(names.METRIC_READY_REPLICAS, _N, by=_BY_MODEL)}, 0)",
                legend=_MODEL_LEGEND,
            ),
        ),
        timeseries(
            "Models that are not Ready, by reason",
            "Reasons of the condition Ready where it is not True. Scaled to zero is Ready.",
            Look(unit="short"),
            Query(
                expr=or_none(
                    total(
                        names.METRIC_MODEL_CONDITION, _N, 'condition="Ready"', 'status!="True"', by="reason"
                    ),
                    "reason",
                ),
                legend="{{reason}}",
            ),
            is_stacked=True,
        ),
    ),
)

_MONEY: Final = Section(
    title="Money",
    panels=(
        timeseries(
            "Cost per hour by model",
            "Present pods times their price.",
            Look(unit="currencyUSD", empty=_NO_PRICE),
            Query(expr=total(names.METRIC_COST_PER_HOUR, _N, by=_BY_MODEL), legend=_MODEL_LEGEND),
            is_stacked=True,
        ),
        bars(
            "Cost by what pods did",
            "In the time range above: computing, ready without a call, or still loading.",
            Look(unit="currencyUSD", empty=_NO_PRICE, decimals=4),
            Query(expr=cost(_N, by="kind"), legend="{{kind}}"),
        ),
        bars(
            "Cold start by phase, all models",
            "Mean of each phase of the starts of first pods since the operator started. Where does a cold start spend its time?",
            Look(unit="s"),
            Query(
                expr=f"sum by (phase) ({names.METRIC_START_PHASE_SECONDS}_sum)"
                f" / (sum by (phase) ({names.METRIC_START_PHASE_SECONDS}_count) > 0)",
                legend="{{phase}}",
            ),
        ),
    ),
)

_MODELS: Final = Section(
    title="Models",
    panels=(
        table(
            "Models",
            "All models with what they do, hold and cost: per 1000 calls in the current period of status.cost (at most 24 hours), idle in the "
            "time range above.",
            Look(unit="short", lowest=None),
            Query(expr=total(names.METRIC_MODEL_PHASE, _N, by="namespace, model, phase"), name="is"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _N, by=_BY_MODEL), name="ready"),
            Query(expr=total(names.METRIC_DESIRED_REPLICAS, _N, by=_BY_MODEL), name="desired"),
            Query(expr=rate(names.METRIC_GATEWAY_REQUESTS, _N, by=_BY_MODEL), name="calls"),
            Query(expr=total(names.METRIC_COST_PER_HOUR, _N, by=_BY_MODEL), name="cost per hour"),
            Query(
                expr=total(names.METRIC_COST_PER_1000, _N, 'kind="reserved"', by=_BY_MODEL),
                name="cost per 1000 calls",
            ),
            Query(expr=cost(_N, 'kind="idle"', by=_BY_MODEL), name="idle cost"),
            Query(
                expr=total(names.METRIC_COLD_START_SECONDS, _N, 'phase="total"', by=_BY_MODEL),
                name="last cold start",
            ),
            hidden=("Value #A",),
            units={
                "calls": "reqps",
                "cost per hour": "currencyUSD",
                "cost per 1000 calls": "currencyUSD",
                "idle cost": "currencyUSD",
                "last cold start": "s",
            },
            height=9,
        ),
    ),
)

FLEET: Final = Board(
    uid="atheria-fleet",
    title="Atheria / Fleet",
    description="How many models, pods and GPUs there are, what they cost now, and what of it is idle.",
    sections=(_NOW, _LOAD, _MONEY, _MODELS),
    variables=(NAMESPACES,),
)
