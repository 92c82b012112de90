"""Health: whether operator, gateways and model servers themselves work."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.board import Board, Section
from tools.dashboards.panels import Look, Query, bars, stat, timeseries
from tools.dashboards.queries import WINDOW, or_none, or_zero, quantiles, quantiles_of_all, rate, total

_OF_OPERATOR: Final = f"and on (instance) {names.METRIC_LEADER}"
_OF_GATEWAY: Final = f"and on (instance) {names.METRIC_GATEWAY_HELD_BYTES}"
_OF_SERVER: Final = f"and on (instance) {names.METRIC_BUILD_INFO}"

_NOW: Final = Section(
    title="Now",
    panels=(
        stat(
            "Operators that lead",
            "Exactly one writes. 0: calls are served and models wake, but nothing scales beyond one or to zero. 2: they do not see one "
            "Lease.",
            Look(unit="short", empty="no operator is scraped", limits=((2, "red"),)),
            Query(expr=total(names.METRIC_LEADER)),
        ),
        stat(
            "Oldest round",
            "Age of the oldest round of a model's loop that is under way. The liveness probe ends a stuck operator.",
            Look(unit="s", limits=((30, "orange"), (120, "red"))),
            Query(expr=f"max({names.METRIC_HEARTBEAT_AGE})"),
        ),
        stat(
            "Failed rounds",
            "Rounds of models' loops that failed, a second.",
            Look(unit="ops", limits=((0.1, "orange"),)),
            Query(expr=or_zero(rate(names.METRIC_RECONCILE_ERRORS))),
        ),
        stat(
            "Gateways",
            "Gateway pods that are scraped.",
            Look(unit="short", empty="no gateway is scraped"),
            Query(expr=f"count({names.METRIC_GATEWAY_HELD_BYTES})"),
        ),
        stat(
            "Held calls",
            "Calls that wait for a model without a ready pod, all models.",
            Look(unit="short"),
            Query(expr=total(names.METRIC_GATEWAY_HELD)),
        ),
        stat(
            "Oldest held call",
            "The longest that a call waits now.",
            Look(unit="s", limits=((60, "orange"), (240, "red"))),
            Query(expr=f"max({names.METRIC_GATEWAY_OLDEST_HELD})"),
        ),
    ),
)

_OPERATOR: Final = Section(
    title="Operator",
    panels=(
        timeseries(
            "Rounds of models' loops",
            "All rounds, and those that failed by the reason of the API server's refusal; Internal is a fault of ours.",
            Look(unit="ops"),
            Query(expr=rate(names.METRIC_RECONCILE_ROUNDS), legend="rounds"),
            Query(
                expr=or_none(rate(names.METRIC_RECONCILE_ERRORS, by="reason"), "reason"),
                legend="failed: {{reason}}",
            ),
        ),
        timeseries(
            "Time of a round",
            "Of a model's loop, writes to the API server included.",
            Look(unit="s", empty="no rounds"),
            *quantiles(names.METRIC_RECONCILE_SECONDS, "", 0.5, 0.95, 0.99),
        ),
        timeseries(
            "Wake-ups",
            "Events and reports that woke a loop.",
            Look(unit="ops"),
            Query(expr=rate(names.METRIC_WAKEUPS, by="loop"), legend="{{loop}}"),
        ),
        timeseries(
            "Requests to the API server",
            "Besides watches, by verb and answer; code 0 is no answer, 409 a race that is decided anew, 403 a missing right.",
            Look(unit="reqps"),
            Query(expr=rate(names.METRIC_API_REQUESTS, by="verb, code"), legend="{{verb}} {{code}}"),
            is_stacked=True,
        ),
        timeseries(
            "Age of the oldest round",
            "Of those that are under way.",
            Look(unit="s"),
            Query(expr=f"max({names.METRIC_HEARTBEAT_AGE})", legend="oldest round"),
        ),
        timeseries(
            "Memory of the operator",
            "Resident memory of the process; 1000 models need about 250 MB.",
            Look(unit="bytes"),
            Query(
                expr=f"sum by (pod) (process_resident_memory_bytes {_OF_OPERATOR})",
                legend="{{pod}}",
            ),
        ),
    ),
)

_GATEWAY: Final = Section(
    title="Gateways",
    panels=(
        timeseries(
            "Calls",
            "As Envoy counts them, by gateway pod. Uneven lines: clients with few connections behind a Service.",
            Look(unit="reqps"),
            Query(expr=rate(names.METRIC_GATEWAY_REQUESTS, by="pod"), legend="{{pod}}"),
            is_stacked=True,
        ),
        timeseries(
            "In flight and held",
            "Calls that Envoy has given to pods, and those that wait for one.",
            Look(unit="short"),
            Query(expr=total("atheria_gateway_requests_in_flight"), legend="in flight"),
            Query(expr=total(names.METRIC_GATEWAY_HELD), legend="held"),
        ),
        bars(
            "Time that calls were held",
            "Of all held calls since each gateway started, as exactly as the histogram's buckets are wide (20, 40, 80 s …).",
            Look(unit="s", empty="no call was held"),
            *quantiles_of_all(names.METRIC_GATEWAY_HOLD_SECONDS, "", 0.5, 0.95),
        ),
        timeseries(
            "Refusals by reason",
            "Calls that were not held, or not released in time.",
            Look(unit="reqps"),
            Query(
                expr=or_none(rate("atheria_gateway_hold_refusals_total", by="reason"), "reason"),
                legend="{{reason}}",
            ),
        ),
        timeseries(
            "Bytes of held calls",
            "What held calls take in Envoy, by gateway pod; bounded by gateway.hold.maxBytes.",
            Look(unit="bytes"),
            Query(expr=total(names.METRIC_GATEWAY_HELD_BYTES, by="pod"), legend="{{pod}}"),
        ),
        timeseries(
            "Memory of activators",
            "Resident memory of the activator process, by gateway pod; Envoy's own is the kubelet's figure.",
            Look(unit="bytes"),
            Query(expr=f"sum by (pod) (process_resident_memory_bytes {_OF_GATEWAY})", legend="{{pod}}"),
        ),
    ),
)

_SERVERS: Final = Section(
    title="Model servers",
    panels=(
        timeseries(
            "Workers started again",
            "Worker processes that died, and calls that were computed again for that.",
            Look(unit="short"),
            Query(expr=f"sum(increase({names.METRIC_WORKER_RESTARTS}{WINDOW}))", legend="workers"),
            Query(expr=f"sum(increase({names.METRIC_RETRIED}{WINDOW}))", legend="calls computed again"),
        ),
        timeseries(
            "Compilations in service",
            "Compilations while calls waited, and calls computed without compiled code: a shape that spec.warmup does not name.",
            Look(unit="short"),
            Query(expr=f"sum(increase({names.METRIC_COMPILATIONS}{WINDOW}))", legend="compilations"),
            Query(
                expr=f"sum(increase({names.METRIC_EAGER_FALLBACKS}{WINDOW}))", legend="without compiled code"
            ),
        ),
        timeseries(
            "Memory of front processes",
            "Resident memory of the servers' front processes, by pod; workers, who hold the weights, are the kubelet's figure.",
            Look(unit="bytes"),
            Query(
                expr=f"sum by (pod) (process_resident_memory_bytes {_OF_SERVER})",
                legend="{{pod}}",
            ),
        ),
    ),
)

_PROCESSORS: Final = Section(
    title="Processor",
    panels=tuple(
        timeseries(
            title,
            description,
            Look(unit="percentunit"),
            Query(
                expr=f"sum by (pod) (rate(process_cpu_seconds_total{WINDOW}) {whose})",
                legend="{{pod}}",
            ),
        )
        for title, description, whose in (
            ("Operator", "Of one processor. Near 100 % rounds become slow.", _OF_OPERATOR),
            (
                "Activators",
                "Of one processor, by gateway pod; calls to warm models cost nothing here.",
                _OF_GATEWAY,
            ),
            (
                "Front processes of servers",
                "Of one processor, by pod: at 100 % small models can be served no faster.",
                _OF_SERVER,
            ),
        )
    ),
)

HEALTH: Final = Board(
    uid="atheria-health",
    title="Atheria / Operator and gateway",
    description="Whether operator, gateways and model servers themselves work.",
    sections=(_NOW, _OPERATOR, _GATEWAY, _SERVERS, _PROCESSORS),
)
