"""The benchmark's one command: `make bench-serving`, or `python -m bench.serving --help` from the repository's root."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.serving import overload
from bench.serving.environments import python_of
from bench.serving.measure import ClientProcess, Measured, MeasurementError
from bench.serving.report import Run, document, tables
from bench.serving.rounds import Plan, Round
from bench.serving.servers import BARE, BARE_IDLE, BUSY, IDLE, ROOT, SERVERS

SEED: Final = 4
RESULTS_HEADING: Final = "\n## Results\n"
IDLE_SECONDS: Final = 2.0
ROUNDS: Final = "rounds"
OVERLOAD: Final = "overload"
PARTS: Final = (ROUNDS, OVERLOAD)


def main() -> None:
    """Measure what is asked for; tables on stdout, progress on stderr, JSON and Markdown in the output folder."""
    options = _parser().parse_args()
    # Ends the servers too, which may be stopped and would never end by themselves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts = [options.part] if options.part else [ROUNDS] if options.only else PARTS
    options.out.mkdir(parents=True, exist_ok=True)
    texts: list[str] = []
    result = _facts(options)
    failures: list[str] = []
    with ClientProcess() as client:
        if ROUNDS in parts:
            run = _rounds(options, client, failures)
            texts.append(tables(run))
            result |= document(run)
        if OVERLOAD in parts:
            try:
                found = overload.overload(
                    client=client,
                    queue_rows=options.queue_rows,
                    device_seconds=options.device_seconds,
                    seconds=options.overload_seconds,
                    logs=options.out,
                    tree=options.tree,
                )
                texts.append(overload.table(found))
                result["overload"] = overload.document(found)
            except MeasurementError as error:
                failures.append(f"overload: {error}")
                _say(f"FAILED {failures[-1]}")
    result["failures"] = failures
    path = options.out / f"serving-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    text = "\n\n".join([_conditions(result), *texts])
    path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(text + "\n")
    if options.record:
        kept, heading, _ = options.record.read_text().partition(RESULTS_HEADING)
        if not heading:
            raise SystemExit(
                f"{options.record} has no line {RESULTS_HEADING.strip()!r} to write the results behind"
            )
        options.record.write_text(f"{kept}{heading}\n{text}\n")
    print(f"{text}\n\nwritten: {path}.json and .md")
    if failures:
        raise SystemExit(f"{len(failures)} measurements failed; each is named above and in the JSON")


def _rounds(options: argparse.Namespace, client: ClientProcess, failures: list[str]) -> Run:
    """Every server in every round, in an order that differs from turn to turn and not from run to run."""
    plan = Plan(
        pythons={name: python_of(SERVERS[name].peer, _say) for name in _selected(options.only)},
        seconds={BUSY: options.seconds, IDLE: min(options.seconds, IDLE_SECONDS)},
        turns=options.turns,
        logs=options.out,
        tree=options.tree,
    )
    shuffle = random.Random(SEED)
    run: dict[int, Mapping[str, Mapping[str, Measured]]] = {}
    for index in range(1, options.rounds + 1):
        measured = Round(plan, client, shuffle)
        run[index] = measured.measure()
        for name, loads in run[index].items():
            numbers = ", ".join(
                f"{load}: {m.calls_per_second:.0f}/s p50 {m.p50_ms:.2f} p99 {m.p99_ms:.2f} ms"
                f" cpu {m.server_cpu_ms_per_call:.3f} ms"
                for load, m in loads.items()
            )
            _say(f"round {index} {name:16} {numbers}")
        for name, reason in measured.failures.items():
            failures.append(f"round {index}, {name}: {reason}")
            _say(f"FAILED {failures[-1]}")
        _say(f"round {index} done, the machine's load was {os.getloadavg()[0]:.1f}")
    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.serving", description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="default: both; with --only: rounds")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is measured (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of each server with 32 callers, a round (default 3)"
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=3,
        help="pieces of those seconds, between which servers take turns (default 3)",
    )
    parser.add_argument("--only", metavar="NAME,NAME", default="", help=f"of: {', '.join(SERVERS)}")
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".local" / "bench", help="folder for results and logs"
    )
    parser.add_argument(
        "--record",
        type=Path,
        help=f"Markdown file whose text behind {RESULTS_HEADING.strip()!r} becomes the tables",
    )
    parser.add_argument("--overload-seconds", type=float, default=60.0, help="default 60")
    parser.add_argument(
        "--queue-rows", type=int, default=512, help="bound of the queue in overload (default 512)"
    )
    parser.add_argument(
        "--device-seconds", type=float, default=0.02, help="of a batch in overload (default 0.02)"
    )
    parser.add_argument(
        "--tree", type=Path, default=ROOT, help="checkout whose Atheria is measured (default: this one)"
    )
    return parser


def _selected(only: str) -> list[str]:
    names = [name for name in only.split(",") if name] or list(SERVERS)
    if unknown := sorted(set(names) - set(SERVERS)):
        raise SystemExit(f"--only names {unknown[0]!r}; allowed: {', '.join(SERVERS)}")
    if BARE in names and BARE_IDLE not in names:
        names.append(BARE_IDLE)
    return names


def _facts(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "rounds_asked": options.rounds,
        "seconds": options.seconds,
        "turns": options.turns,
        "seed": SEED,
        "python": platform.python_version(),
        "tree": str(options.tree) if options.tree != ROOT else "",
        "processors": os.cpu_count(),
        "processor": _processor(),
        "load_before": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def _conditions(facts: Mapping[str, Any]) -> str:
    return (
        f"Measured {facts['time']} on {facts['processors']} processors ({facts['processor']}), Python {facts['python']};"
        f" {facts['rounds_asked']} rounds of {facts['seconds']:g} s in {facts['turns']} turns; the machine's load was"
        f" {facts['load_before']:.1f} before and {os.getloadavg()[0]:.1f} at the end."
    )


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
