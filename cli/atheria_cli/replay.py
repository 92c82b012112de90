"""`atheria replay`: what recorded calls would cost and wait under a model's scaling, and under others. Called by `__main__`.

The one place of this package that imports the operator's: the policy that is replayed must be the one that decides in the
cluster. Without the operator's dependencies the command says what to install.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table

from atheria_contract import names

if TYPE_CHECKING:
    from atheria_operator.simulation.compare import Comparison


class ReplayCommandError(Exception):
    """What keeps the replay from running; the message says what to do."""


class Kubectl(Protocol):
    """As `demo.cluster.Cluster` has it."""

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl and return what it printed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What the command was given."""

    calls: Path
    manifest: Path | None
    """YAML of an AtheriaModel; None = the model's name, or the defaults."""
    model: str
    """Name of a model in the cluster; empty = none."""
    namespace: str
    slots: int
    """Calls that a pod works on at once; 0 = the target of the scaling."""
    start_seconds: float
    slo_seconds: float
    usd_per_hour: float
    """Of one pod; 0 = unknown."""
    seed: int


def run_replay(options: ReplayOptions, cluster: Kubectl, console: Console) -> None:
    """Print the table. Raises ReplayCommandError, and the cluster's error where kubectl refuses."""
    try:
        from atheria_operator.simulation.calls import TokenModel, TrafficError, read_calls, work_seconds
        from atheria_operator.simulation.replay import ReplayError, policy_of, replay, slots_of
        from atheria_operator.simulation.world import World
    except ImportError as error:
        raise ReplayCommandError(
            f"{error.name} is not installed: pip install 'atheria[cli,operator]'"
        ) from error
    try:
        policy = policy_of(_body(options, cluster))
        calls = read_calls(options.calls, TokenModel())
        world = World(slots_per_pod=slots_of(policy, options.slots), start_seconds=options.start_seconds)
    except (ReplayError, TrafficError, ValueError) as error:
        raise ReplayCommandError(str(error)) from error
    found = replay(
        calls,
        policy,
        world=world,
        slo_seconds=options.slo_seconds,
        usd_per_pod_hour=options.usd_per_hour or None,
        seed=options.seed,
    )
    hours = calls[-1].arrival_seconds / 3600
    console.print(
        f"{len(calls)} calls in {hours:.2f} h, {work_seconds(calls):,.0f} slot-seconds of work; a pod has {world.slots_per_pod} slots "
        f"and starts in {options.start_seconds:g} s; late = more than {options.slo_seconds:g} s until a slot"
    )
    if policy.schedule:
        console.print("spec.scaling.schedule is left out: the record has no time of day that it could follow")
    console.print(_table(found, options.usd_per_hour))
    console.print(
        f"clairvoyant, nobody waits: {found.bound[-1].gpu_seconds:,.0f} pod-s; regret = pod-s over those of a clairvoyant who is late as often"
    )


def _body(options: ReplayOptions, cluster: Kubectl) -> Mapping[str, Any]:
    if options.model:
        kind = f"{names.MODEL_PLURAL}.{names.GROUP}"
        text = cluster.kubectl("get", kind, options.model, "-n", options.namespace, "-o", "json")
        body: Mapping[str, Any] = json.loads(text)
        return body
    if options.manifest is None:
        raise ReplayCommandError("give --model NAME of a model in the cluster, or --manifest FILE.yaml")
    import yaml

    try:
        documents = list(yaml.safe_load_all(options.manifest.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReplayCommandError(f"{options.manifest}: {error}") from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == names.MODEL_KIND:
            return document
    raise ReplayCommandError(f"{options.manifest}: has no document of kind {names.MODEL_KIND}")


def _table(found: Comparison, usd_per_hour: float) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("scaling", no_wrap=True)
    for column in (
        "pod-s",
        "USD",
        "late %",
        "wait p50",
        "p95",
        "p99 s",
        "lost %",
        "starts",
        "wakes",
        "regret",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(
            row.policy,
            f"{row.gpu_seconds:,.0f}",
            f"{row.gpu_seconds / 3600 * usd_per_hour:.2f}" if usd_per_hour else "-",
            f"{100 * row.late_share:.1f}",
            f"{row.p50_seconds:.1f}",
            f"{row.p95_seconds:.1f}",
            f"{row.p99_seconds:.1f}",
            f"{100 * row.lost_share:.1f}",
            f"{row.starts:.0f}",
            f"{row.wakes:.0f}",
            "-" if row.regret is None else f"{row.regret:.2f}",
        )
    return table
