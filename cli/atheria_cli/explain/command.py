"""`atheria explain`: why a model has the pods it has, why it is not ready, why its weights are kept as they are. Called by `__main__`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from atheria_cli.console import plain_table
from atheria_cli.explain.precision import precision
from atheria_cli.explain.readiness import readiness
from atheria_cli.explain.replicas import asked_for, computation, decisions
from atheria_cli.kubectl import Kubectl
from atheria_cli.model.read import read_model
from atheria_cli.model.summary import Body
from atheria_cli.options import Output

_INPUTS: Final = (
    ("held", "held"),
    ("inFlight", "in flight"),
    ("arrivalsPerSecond", "calls/s"),
    ("burstPerSecond", "calls/s in a burst"),
    ("serviceSeconds", "s of work a call"),
    ("ready", "ready"),
    ("starting", "starting"),
    ("unschedulable", "without a node"),
    ("coldStartSeconds", "s a start"),
)
"""Name in status.lastDecisions[].inputs, and what it counts."""


def command_explain(cluster: Kubectl, model: str, namespace: str, output: Output, console: Console) -> None:
    """Print the three answers, or a document of them with the decisions as the status has them."""
    body = read_model(cluster, model, namespace)
    if output is Output.JSON:
        console.print_json(json.dumps(as_json(body)))
    else:
        console.print(explanation(body))


def as_json(body: Body) -> dict[str, Any]:
    """From the body of an AtheriaModel; sentences, and what they were made of."""
    return {
        "namespace": body["metadata"].get("namespace", ""),
        "name": body["metadata"]["name"],
        "replicas": {"why": [*asked_for(body), *computation(body)], "decisions": list(decisions(body))},
        "ready": {"why": list(readiness(body))},
        "precision": {"why": list(precision(body))},
    }


def explanation(body: Body) -> RenderableType:
    """The same for people."""
    table = [Padding(_table(decisions(body)), (0, 0, 0, 2), expand=False)] if decisions(body) else []
    return Group(
        Text(f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}", style="bold"),
        *_answer("Why this many pods", asked_for(body)),
        *table,
        *map(_indented, computation(body)),
        *_answer("Why it is ready, or not", readiness(body)),
        *_answer("Why this precision", precision(body)),
    )


def _answer(question: str, lines: Sequence[str]) -> tuple[RenderableType, ...]:
    return (Text(question, style="bold"), *map(_indented, lines))


def _indented(line: str) -> RenderableType:
    return Padding(Text(line), (0, 0, 0, 2), expand=False)


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("TIME", "PODS", "WHY", "HELD BACK BY", "SEEN")
    for decision in found:
        inputs = decision.get("inputs") or {}
        before = f"{decision['before']} -> " if "before" in decision else ""
        table.add_row(
            decision["time"],
            f"{before}{decision['replicas']}",
            decision["reason"],
            decision.get("bound") or "-",
            ", ".join(f"{float(inputs[name]):.3g} {unit}" for name, unit in _INPUTS if name in inputs),
        )
    return table
