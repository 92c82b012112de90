"""The autoscaling benchmark's one command: `python -m bench.autoscaling --help`, from the repository's root."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from atheria_operator.simulation.calls import Call, TokenModel, work_seconds
from atheria_operator.simulation.compare import compare
from atheria_operator.simulation.world import Queue, World
from bench.autoscaling.arrivals import load_models, synthetic_calls
from bench.autoscaling.policies import policies
from bench.autoscaling.report import SYNTHETIC_PREFIX, Scenario, tables
from bench.autoscaling.traces import TraceUnavailableError, azure_calls, cache_folder

RESULTS_HEADING: Final = "\n## Results\n"
_PROFILE: Final = Path("charts/atheria/files/profiles/nvidia-l4.yaml")


def main() -> None:
    """Run every scenario; the tables on stdout, progress on stderr."""
    options = _parser().parse_args()
    try:
        records = {name: _records(name, options) for name in options.traces}
    except TraceUnavailableError as error:
        raise SystemExit(f"bench.autoscaling: {error}") from error
    scenarios = []
    for name, calls in records.items():
        for start, first in itertools.product(options.starts, options.firsts):
            print(f"simulating {name}, start {start:g} s, {first} pods at first", file=sys.stderr, flush=True)
            world = World(
                slots_per_pod=options.slots, queue=options.queue, start_seconds=start, first_replicas=first
            )
            found = compare(
                calls,
                world=world,
                policies=policies(world, fixed=options.fixed),
                slo_seconds=options.slo,
                seed=options.seed,
            )
            scenarios.append(
                Scenario(trace=name, start_seconds=start, first_replicas=first, comparison=found)
            )
    price = yaml.safe_load(_PROFILE.read_text(encoding="utf-8"))["spec"]["price"]
    text = f"{_conditions(records, options, price)}\n\n{tables(scenarios, usd_per_hour=float(price['usdPerHour']))}"
    if options.record:
        kept, heading, _ = options.record.read_text(encoding="utf-8").partition(RESULTS_HEADING)
        if not heading:
            raise SystemExit(
                f"{options.record} has no line {RESULTS_HEADING.strip()!r} to write the results behind"
            )
        options.record.write_text(f"{kept}{heading}\n{text}\n", encoding="utf-8")
    if options.plots:
        from bench.autoscaling.plot import plot

        for name in options.traces:
            if name.startswith(SYNTHETIC_PREFIX):
                continue
            plot(
                options.plots / f"autoscaling-{name}.svg",
                f"{name}: late calls against GPU seconds; left and below is better",
                [one for one in scenarios if one.trace == name and one.first_replicas == options.firsts[0]],
            )
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.autoscaling", description=__doc__)
    parser.add_argument(
        "--traces",
        type=lambda text: text.split(","),
        default=["code", "conv", "synthetic-code", "synthetic-conv"],
        help="code and conv are fetched once (1 MB, Azure/AzurePublicDataset, CC-BY-4.0); synthetic-code and synthetic-conv run offline; "
        "default: all four",
    )
    parser.add_argument(
        "--starts",
        type=lambda text: [float(one) for one in text.split(",")],
        default=[2.0, 10.0, 30.0, 120.0],
        help="seconds of a cold start (default 2,10,30,120)",
    )
    parser.add_argument(
        "--firsts",
        type=lambda text: [int(one) for one in text.split(",")],
        default=[0],
        help="pods at the beginning of the hour, of policies that may be at zero (default 0)",
    )
    parser.add_argument(
        "--slots",
        type=int,
        default=8,
        help="calls that a pod works on at once, and everybody's target (default 8)",
    )
    parser.add_argument(
        "--queue",
        type=Queue,
        choices=list(Queue),
        default=Queue.GATEWAY,
        help="where calls wait that find all slots taken: gateway (default), or pods, as without holding in the gateway",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=3,
        help="made-up hours, and runs of a recorded one with other lengths of starts, that are averaged (default 3)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first run (default 1)")
    parser.add_argument("--fixed", type=int, default=6, help="fixed numbers of pods up to this (default 6)")
    parser.add_argument(
        "--slo", type=float, default=2.0, help="a call is late that waits longer, seconds (default 2)"
    )
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="folder of the fetched hours")
    parser.add_argument(
        "--plots",
        type=Path,
        help="folder for autoscaling-<hour>.svg of the recorded hours (needs matplotlib)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        help=f"Markdown file whose text behind {RESULTS_HEADING.strip()!r} becomes the tables",
    )
    return parser


def _records(name: str, options: argparse.Namespace) -> Sequence[Sequence[Call]]:
    tokens = TokenModel()
    model = name.removeprefix(SYNTHETIC_PREFIX)
    if model != name:
        fitted = load_models()
        if model in fitted:
            return [
                synthetic_calls(fitted[model], options.seed + index, tokens) for index in range(options.seeds)
            ]
    elif name in ("code", "conv"):
        return [azure_calls(name, options.cache, tokens)] * options.seeds
    raise SystemExit(f"--traces: {name!r} is unknown; allowed: code, conv, synthetic-code, synthetic-conv")


def _conditions(
    records: dict[str, Sequence[Sequence[Call]]], options: argparse.Namespace, price: dict[str, str]
) -> str:
    loads = "; ".join(
        f"{name}: {sum(map(len, calls)) / len(calls):,.0f} calls, {sum(map(work_seconds, calls)) / len(calls):,.0f} slot-seconds of work"
        for name, calls in records.items()
    )
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, seed {options.seed}, means of {options.seeds} runs. {loads}. "
        f"{options.slots} slots a pod, queue in the {options.queue.value}. USD at {price['usdPerHour']} an hour ({price.get('source', 'source unknown')}). "
        f"Late: more than {options.slo:g} s until a slot."
    )


if __name__ == "__main__":
    main()
