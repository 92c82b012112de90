"""`python -m bench.release`: installs on fresh local clusters, then upgrades and rollbacks under steady calls.

Each repeat of the install ends the local cluster and brings a new one up; images are loaded before the clock starts. Ends the
cluster at last.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from atheria_cli.cluster import Cluster
from bench.release import changes, local_cluster
from bench.release.calls import Call, SteadyCalls
from bench.release.installs import install
from bench.release.report import changes_table, installs_table, ways_table

MODEL = "steady"


def main() -> int:
    """The command; status 1 when a call was lost."""
    options = _parser().parse_args()
    if local_cluster.local("status", check=False) == 0:
        print("a local cluster is up, and this needs fresh ones: run `make demo-down` first", file=sys.stderr)
        return 2
    cluster = local_cluster.cluster_here()
    loads = [os.getloadavg()[0]]
    installs: list[dict[str, float]] = []
    done: list[Call] = []
    changed: list[changes.Change] = []
    try:
        local_cluster.local("build")
        for number in range(options.installs):
            _fresh()
            installs.append(install(cluster))
            loads.append(os.getloadavg()[0])
            _say(f"install {number + 1}/{options.installs}: {installs[-1]['Deployment']:.1f} s")
        if options.rounds:
            changed, done = _change(cluster, options)
            loads.append(os.getloadavg()[0])
    finally:
        local_cluster.local("down")
    if options.json:
        _write(options.json, installs, changed, done, loads)
    print(f"{os.cpu_count()} processors, load average {min(loads):.1f} to {max(loads):.1f}.\n")
    print(installs_table(installs))
    if changed:
        print(f"\n{changes_table(changed, done)}\n\n{ways_table(done)}")
    lost = [call for call in done if call.failure]
    for call in lost[:20]:
        _say(f"lost: {call.way} after {call.seconds:.2f} s: {call.failure}")
    return 1 if lost else 0


def _fresh() -> None:
    for command in ("down", "up", "images"):
        local_cluster.local(command)


def _change(cluster: Cluster, options: argparse.Namespace) -> tuple[list[changes.Change], list[Call]]:
    """From the released chart to the present one, back to it, and so on."""
    _fresh()
    released = options.released_checkout or local_cluster.ROOT
    if options.released_checkout:
        local_cluster.load_images(released)
    else:
        # Under the released chart's rights the present operator does not work: it serves the model before.
        present = local_cluster.chart_arguments(local_cluster.CHART, options.set)
        cluster.helm("install", "atheria", *present, *local_cluster.helm_arguments(), "--create-namespace")
        local_cluster.serve_echo(cluster, MODEL)
    old = local_cluster.chart_arguments(local_cluster.RELEASED, options.set, released)
    cluster.helm(
        *("upgrade", "--install", "atheria", *old),
        *(*local_cluster.helm_arguments(), "--create-namespace"),
    )
    targets = local_cluster.serve_echo(cluster, MODEL)
    changed: list[changes.Change] = []
    with SteadyCalls(targets, options.per_second) as calls:
        for number in range(options.rounds):
            for run in (changes.upgrade, changes.rollback):
                one = run(cluster, calls, *(options.set if run is changes.upgrade else ()))
                changed.append(one)
                lost, sent = len(calls.lost), len(calls.done)
                _say(f"{number + 1}/{options.rounds} {one.name}: {lost} of {sent} calls lost so far")
    return changed, calls.done


def _write(
    file: Path,
    installs: Sequence[dict[str, float]],
    changed: Sequence[changes.Change],
    done: Sequence[Call],
    loads: Sequence[float],
) -> None:
    rows = {
        "installs": list(installs),
        "changes": [asdict(one) for one in changed],
        "lost": [asdict(call) for call in done if call.failure],
        "calls": len(done),
        "load_averages": list(loads),
    }
    file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.release", description=__doc__)
    parser.add_argument("--installs", type=int, default=5, help="fresh clusters to install on (default 5)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="upgrades, each followed by a rollback (default 3; 0: none)"
    )
    parser.add_argument(
        "--per-second",
        type=float,
        default=10.0,
        help="calls on each of the five ways (default 10, so 50 in all)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a value of the chart for the upgrades",
    )
    parser.add_argument(
        "--released-checkout",
        type=Path,
        metavar="FOLDER",
        help="a checkout of the released version: its images are built and used with its chart (default: present images)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
