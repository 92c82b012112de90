"""`atheria replay`: what recorded calls would cost and wait under a model's scaling, and under others. Called by `__main__`.

The one place of this package that imports the operator's: the policy that is replayed must be the one that decides in the
cluster. Without the operator's dependencies the command says what to install.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import Kubectl
from atheria_cli.model.read import read_model
from atheria_cli.options import Output
from atheria_contract import names

if TYPE_CHECKING:
    from atheria_operator.simulation.compare import Comparison


class ReplayCommandError(CommandError):
    """What keeps the replay from running; the message says what to do."""


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


def run_replay(options: ReplayOptions, cluster: Kubectl, output: Output, console: Console) -> None:
    """Print the table, or a document of the same. Raises ReplayCommandError, and the cluster's error where kubectl refuses."""
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
        raise ReplayCommandError(str(error), ExitCode.USAGE) from error
    found = replay(
        calls,
        policy,
        world=world,
        slo_seconds=options.slo_seconds,
        usd_per_pod_hour=options.usd_per_hour or None,
        seed=options.seed,
    )
    hours = calls[-1].arrival_seconds / 3600
    if output is Output.JSON:
        document = {
            "calls": len(calls),
            "hours": hours,
            "work_slot_seconds": work_seconds(calls),
            "slots_per_pod": world.slots_per_pod,
            "start_seconds": options.start_seconds,
            "slo_seconds": options.slo_seconds,
            "usd_per_hour": options.usd_per_hour or None,
            "schedule_is_left_out": bool(policy.schedule),
            "basis": "modelled",
            "rows": [
                {**asdict(row), "usd": _usd(row.gpu_seconds, options.usd_per_hour)} for row in found.rows
            ],
            "clairvoyant": [asdict(point) for point in found.bound],
        }
        console.print_json(json.dumps(document))
        return
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
        return read_model(cluster, options.model, options.namespace)
    if options.manifest is None:
        raise ReplayCommandError(
            "give --model NAME of a model in the cluster, or --manifest FILE.yaml", ExitCode.USAGE
        )
    import yaml

    try:
        documents = list(yaml.safe_load_all(options.manifest.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ReplayCommandError(f"{options.manifest} does not exist", ExitCode.NOT_FOUND) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReplayCommandError(f"{options.manifest}: {error}", ExitCode.USAGE) from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == names.MODEL_KIND:
            return document
    raise ReplayCommandError(
        f"{options.manifest}: has no document of kind {names.MODEL_KIND}", ExitCode.USAGE
    )


def _usd(pod_seconds: float, usd_per_hour: float) -> float | None:
    """None = no price was given."""
    return pod_seconds / 3600 * usd_per_hour if usd_per_hour else None


def _table(found: Comparison, usd_per_hour: float) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("scaling", overflow="fold")
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
        table.add_column(column, justify="right", overflow="fold")
    for row in found.rows:
        table.add_row(
            row.policy,
            f"{row.gpu_seconds:,.0f}",
            "-" if (usd := _usd(row.gpu_seconds, usd_per_hour)) is None else f"{usd:.2f}",
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
