"""Which pods go first when some are taken away: those with the fewest calls. Called by `runtime.deletion_costs`.

A ReplicaSet deletes pods that are not ready first, and of the ready ones that with the lowest deletion cost (0 where none is written). So
only the pods that shall go get a cost, below 0: it goes with them, and one write a pod is enough. Costs from 0 up are a person's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from atheria_contract import names
from atheria_operator.domain.observed import Body


def cost_of(pod: Body) -> int | None:
    """The deletion cost that is written on a pod; None for none, and for one that is no number."""
    annotations = pod["metadata"].get("annotations") or {}
    try:
        return int(annotations[names.ANNOTATION_DELETION_COST])
    except (KeyError, ValueError):
        return None


def is_ours(cost: int | None) -> bool:
    """Whether the autoscaler wrote it."""
    return cost is not None and cost < 0


def calls_in_metrics(text: str, series: Collection[str]) -> int | None:
    """Sum of the samples of `series` in the Prometheus text of a pod, rounded up, whatever their labels.

    None where one of them is missing: a server that does not say what waits may be busy.
    """
    sums: dict[str, float] = {}
    for line in text.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name not in series:
            continue
        # Values of labels may have spaces and braces; behind the last brace are the value and perhaps a time.
        words = line.rpartition("}")[2].split() if "{" in line else line.split()[1:]
        try:
            sums[name] = sums.get(name, 0.0) + float(words[0])
        except (IndexError, ValueError):
            return None
    total = sum(sums.values())
    return math.ceil(total) if len(sums) == len(set(series)) and 0 <= total < math.inf else None


def deletion_costs(in_flight: Mapping[str, int | None], going: int) -> dict[str, int]:
    """Costs of the `going` pods with the fewest calls in flight, the idlest lowest; of equals the last one goes.

    `in_flight` is by name of the pod; None = unknown, which is taken for as much as the busiest has, and for a call at least: what does
    not answer may be busy. Empty where any choice is as good as another.
    """
    most = max([1, *(calls for calls in in_flight.values() if calls is not None)])
    loads = {name: most if calls is None else calls for name, calls in in_flight.items()}
    # Where all of these are to go, others go before them, and fewer may be left to go than that.
    going = min(going, len(loads) - 1)
    if going <= 0 or len(set(loads.values())) == 1:
        return {}
    last_first = list(loads)[::-1]
    order = sorted(last_first, key=lambda name: loads[name])
    return {name: place - going for place, name in enumerate(order[:going])}
