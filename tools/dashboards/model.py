"""Model: one model from its traffic to its revisions, cold starts and cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from atheria_contract import names
from tools.dashboards.board import Board, Section
from tools.dashboards.panels import Look, Query, bars, heatmap, stat, table, timeseries
from tools.dashboards.queries import (
    ONE_MODEL,
    cost,
    mean,
    or_none,
    or_zero,
    quantiles,
    rate,
    ratio,
    selected,
    total,
)
from tools.dashboards.variables import MODEL, NAMESPACES

_M: Final = ONE_MODEL
_REVISION: Final = '"revision", "$1", "pod", "(.+)-[a-z0-9]+-[a-z0-9]+"'
"""A Deployment's pod is called `<revision>-<ReplicaSet's hash>-<five letters>`."""
_NOT_ASKED: Final = "served as it is written"
_ERRORS: Final = or_zero(rate(names.METRIC_REQUESTS, _M, 'code!~"OK|CANCELLED"'))
_ANSWERS: Final = rate(names.METRIC_REQUESTS, _M)


def _by_revision(metric: str, *labels: str) -> str:
    """The highest of each revision's pods."""
    by = ", ".join(("revision", *labels))
    return f"max by ({by}) (label_replace({selected(metric, _M)}, {_REVISION}))"


_NOW: Final = Section(
    title="Now",
    panels=(
        stat(
            "Pods ready",
            "Pods that answer calls; 0 is a model at zero, whose next call is held and wakes it.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _M)),
        ),
        stat(
            "Calls",
            "Calls at the gateways, held ones included.",
            Look(unit="reqps", decimals=2),
            Query(expr=rate(names.METRIC_GATEWAY_REQUESTS, _M)),
        ),
        stat(
            "Errors",
            "Share of answers that are neither OK nor cancelled by the caller. Empty while nobody calls.",
            Look(unit="percentunit", empty="no calls", limits=((0.01, "orange"), (0.05, "red"))),
            Query(expr=ratio(_ERRORS, _ANSWERS)),
        ),
        stat(
            "p95",
            "95th percentile of the time from a call's arrival in the pod to its answer.",
            Look(unit="s", empty="no calls"),
            *quantiles(names.METRIC_REQUEST_SECONDS, _M, 0.95),
        ),
        stat(
            "Queue",
            "Calls that wait in pods for a worker.",
            Look(unit="short", empty="at zero"),
            Query(expr=total(names.METRIC_QUEUE_DEPTH, _M)),
        ),
        stat(
            "Cost per 1000 calls",
            "All that the pods of the current period cost over its calls.",
            Look(unit="currencyUSD", empty="no price or no calls", decimals=4),
            Query(expr=total(names.METRIC_COST_PER_1000, _M, 'kind="reserved"')),
        ),
    ),
)

_TRAFFIC: Final = Section(
    title="Traffic and errors",
    panels=(
        timeseries(
            "Answers by code",
            "Calls that pods have answered. Codes are those of gRPC for all protocols.",
            Look(unit="reqps"),
            Query(expr=rate(names.METRIC_REQUESTS, _M, by="method, code"), legend="{{method}} {{code}}"),
            is_stacked=True,
        ),
        timeseries(
            "Calls at the gateways",
            "Calls that came, and those of them that began to wait for a pod.",
            Look(unit="reqps"),
            Query(expr=rate(names.METRIC_GATEWAY_REQUESTS, _M), legend="calls"),
            Query(expr=or_zero(rate("atheria_gateway_hold_arrivals_total", _M)), legend="held"),
        ),
        timeseries(
            "Calls that got no answer, by cause",
            "Refused before they were computed (by reason), given up by their caller, or late; and held calls that gateways gave back.",
            Look(unit="reqps"),
            Query(
                expr=or_none(rate(names.METRIC_REJECTED, _M, by="reason"), "reason"),
                legend="refused: {{reason}}",
            ),
            Query(expr=rate(names.METRIC_CANCELLED, _M), legend="cancelled"),
            Query(expr=rate(names.METRIC_EXPIRED, _M), legend="late"),
            Query(
                expr=or_none(rate("atheria_gateway_hold_refusals_total", _M, by="reason"), "reason"),
                legend="at gateways: {{reason}}",
            ),
        ),
    ),
)

_QUEUE: Final = Section(
    title="Queue and batches",
    panels=(
        timeseries(
            "Waiting and in flight",
            "Calls that wait in pods for a worker, all that are accepted and not answered, and those held at gateways.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_QUEUE_DEPTH, _M), legend="waiting"),
            Query(expr=total(names.METRIC_IN_FLIGHT, _M), legend="in flight"),
            Query(expr=total(names.METRIC_GATEWAY_HELD, _M), legend="held"),
        ),
        timeseries(
            "Fullest queue",
            "Part of the places of a pod's queue that are taken; at 100 % calls are refused.",
            Look(unit="percentunit", highest=1),
            Query(expr=f"max by (pod) ({selected(names.METRIC_QUEUE_FILL, _M)})", legend="{{pod}}"),
        ),
        timeseries(
            "Wait in the queue",
            "From a call's arrival in the pod to its dispatch to a worker.",
            Look(unit="s", empty="no calls"),
            *quantiles(names.METRIC_QUEUE_WAIT_SECONDS, _M, 0.5, 0.95, 0.99),
        ),
        timeseries(
            "Batch size",
            "Rows of the batches that were dispatched. At 1 under load: batching.maxLatency is too short, or calls differ in shape.",
            Look(unit="short", empty="no calls"),
            Query(expr=mean(names.METRIC_BATCH_SIZE, _M), legend="mean"),
            *quantiles(names.METRIC_BATCH_SIZE, _M, 0.95),
        ),
        timeseries(
            "Rows computed",
            "Rows of inputs that went through the model, over all pods.",
            Look(unit="rowsps"),
            Query(expr=rate(f"{names.METRIC_BATCH_SIZE}_sum", _M), legend="rows"),
        ),
        timeseries(
            "Time by stage",
            "Mean of each part of a call's way: decode and encode of a message, wait in the queue, inference of a batch, and in it copy "
            "(shared memory) and device.",
            Look(unit="s", empty="no calls"),
            Query(expr=mean(names.METRIC_STAGE_SECONDS, _M, by="stage"), legend="{{stage}}"),
        ),
    ),
)

_LATENCY: Final = Section(
    title="Latency",
    panels=(
        heatmap(
            "Latency",
            "Calls by the time from arrival in the pod to the answer: two bands are two kinds of calls or a pod that lags. "
            "A point is a call whose trace was kept.",
            Look(unit="s", empty="no calls"),
            Query(expr=rate(f"{names.METRIC_REQUEST_SECONDS}_bucket", _M, by="le"), has_exemplars=True),
        ),
        timeseries(
            "Latency quantiles",
            "The same as lines, with calls whose trace was kept as points. Calls that a gateway held wait before that: see Cold starts.",
            Look(unit="s", empty="no calls"),
            *quantiles(names.METRIC_REQUEST_SECONDS, _M, 0.5, 0.95),
            *(replace(one, has_exemplars=True) for one in quantiles(names.METRIC_REQUEST_SECONDS, _M, 0.99)),
            width=12,
        ),
    ),
)

_REVISIONS: Final = Section(
    title="Revisions and quality",
    panels=(
        timeseries(
            "Share of the calls by revision",
            "Weights that the gateways have. A canary climbs in steps, and falls to 0 when it is given up.",
            Look(unit="percent", highest=100),
            Query(expr=total(names.METRIC_REVISION_WEIGHT, _M, by="revision"), legend="{{revision}}"),
            is_stacked=True,
        ),
        bars(
            "Quality gate by revision",
            "1: what is served passed its quality gate, or is the baseline itself. 0: it did not, or was not judged. Absent for a model "
            "that is served as it is written.",
            Look(unit="bool_yes_no", empty=_NOT_ASKED, highest=1),
            Query(
                expr=f"min by (revision) (label_replace({selected(names.METRIC_QUALITY_ACCEPTED, _M)}, {_REVISION}))",
                legend="{{revision}}",
            ),
        ),
        bars(
            "Weights in memory",
            "Bytes of the weights as they are kept, by revision and precision policy.",
            Look(unit="bytes", empty=_NOT_ASKED),
            Query(
                expr=_by_revision(names.METRIC_WEIGHT_BYTES, "precision"),
                legend="{{precision}} {{revision}}",
            ),
        ),
        table(
            "Quality against the limits",
            "Each metric of the served variant against its fp32 baseline, with the limit that it is judged by.",
            Look(unit="short", empty=_NOT_ASKED, lowest=None),
            Query(
                expr=_by_revision(names.METRIC_QUALITY_VALUE, "metric"),
                name="value",
            ),
            Query(
                expr=_by_revision(names.METRIC_QUALITY_LIMIT, "metric"),
                name="limit",
            ),
            width=24,
            height=7,
        ),
        table(
            "What the options are worth",
            "Of `atheria-server evaluate --cache` for this model and its settings: each option alone, and all of them (combined), against none. "
            "Loss is how far the answers are from those without it.",
            Look(unit="short", empty="nobody has evaluated it", lowest=None),
            Query(expr=_by_revision(names.METRIC_OPTION_SPEED_UP, "option"), name="times as fast"),
            Query(expr=_by_revision(names.METRIC_OPTION_SAVED_BYTES, "option"), name="memory saved"),
            Query(expr=_by_revision(names.METRIC_OPTION_LOSS, "option"), name="loss"),
            units={"memory saved": "bytes", "loss": "percentunit"},
            width=24,
            height=7,
        ),
        table(
            "Key-value cache against its error budget",
            "Text models: what the cache of the newest worker changes, measured at its start, with what is allowed. Stepped back: it is kept "
            "more exactly than was asked for.",
            Look(unit="short", empty="no text model", lowest=0),
            Query(expr=_by_revision(names.METRIC_KV_CACHE_AGREEMENT), name="likeliest tokens that agree"),
            Query(expr=_by_revision(names.METRIC_KV_CACHE_LEAST_AGREEMENT), name="least"),
            Query(expr=_by_revision(names.METRIC_KV_CACHE_DIVERGENCE), name="divergence (nats)"),
            Query(expr=_by_revision(names.METRIC_KV_CACHE_MOST_DIVERGENCE), name="most"),
            Query(expr=_by_revision(names.METRIC_KV_CACHE_STEPPED_BACK), name="stepped back"),
            units={
                "likeliest tokens that agree": "percentunit",
                "least": "percentunit",
                "stepped back": "bool_yes_no",
            },
            width=16,
            height=7,
        ),
        bars(
            "Precision of the key-value cache",
            "Text models: how keys and values beyond the recent window are kept, after any step back.",
            Look(unit="bool_yes_no", empty="no text model", highest=1),
            Query(
                expr=_by_revision(names.METRIC_KV_CACHE_PRECISION, "precision"),
                legend="{{precision}} {{revision}}",
            ),
            height=7,
        ),
    ),
)

_STARTS: Final = Section(
    title="Cold starts",
    panels=(
        bars(
            "Last cold start by phase",
            "Of the last start of a first pod, from its creation: until it had a node, until its container ran, until it was ready.",
            Look(unit="s", empty="no start yet"),
            Query(
                expr=total(names.METRIC_COLD_START_SECONDS, _M, 'phase!="total"', by="phase"),
                legend="{{phase}}",
            ),
        ),
        bars(
            "Start of the newest worker",
            "Inside the server: import and setup of the model (load), then warm-up with its compilation.",
            Look(unit="s", empty="at zero"),
            Query(
                expr=f"max({selected(names.METRIC_MODEL_LOAD_SECONDS, _M)})",
                legend="load",
            ),
            Query(
                expr=f"max({selected(names.METRIC_MODEL_WARMUP_SECONDS, _M)})",
                legend="warm-up",
            ),
        ),
        timeseries(
            "Oldest held call",
            "The longest that a call waits at a gateway now. Beyond the usual cold start: the model does not start.",
            Look(unit="s"),
            Query(
                expr=f"max({selected(names.METRIC_GATEWAY_OLDEST_HELD, _M)})",
                legend="oldest held call",
            ),
        ),
    ),
)

_MONEY: Final = Section(
    title="Pods and cost",
    panels=(
        timeseries(
            "Pods",
            "Decided by the autoscaler, and ready.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_DESIRED_REPLICAS, _M), legend="desired"),
            Query(expr=total(names.METRIC_READY_REPLICAS, _M), legend="ready"),
        ),
        timeseries(
            "Cost per hour",
            "Present pods times their price.",
            Look(unit="currencyUSD", empty="no price known"),
            Query(expr=total(names.METRIC_COST_PER_HOUR, _M), legend="cost per hour"),
        ),
        bars(
            "Cost by what pods did",
            "In the time range above: computing, ready without a call, or still loading. Busy and idle are modelled.",
            Look(unit="currencyUSD", empty="no price known", decimals=4),
            Query(expr=cost(_M, by="kind"), legend="{{kind}}"),
        ),
    ),
)

MODEL_BOARD: Final = Board(
    uid="atheria-model",
    title="Atheria / Model",
    description="One model: traffic, queue, batches, latency, revisions with weights and quality, cold starts, cost.",
    sections=(_NOW, _TRAFFIC, _QUEUE, _LATENCY, _REVISIONS, _STARTS, _MONEY),
    variables=(NAMESPACES, MODEL),
)
