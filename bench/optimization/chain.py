"""What batching, compilation and bf16 gain together on this machine: `python -m bench.optimization.chain`.

A request is 8 steps of the built-in model from a seed, with all outputs, as the worker computes it; nothing is sent. All
variants are measured in turns, so that what else the machine does touches all of them alike.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from atheria_contract.optimization import CompileConfig, PrecisionConfig
from atheria_server.core.precision import PrecisionError, plan_precision
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize import precision
from atheria_server.optimize.compiling import BucketCompiler
from atheria_server.optimize.loaded import LoadedModel, load_model
from bench.optimization.spread import conditions, measured, ratio

BATCH = 8
BASE = "eager, 1 row"


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], help="parameter of the model, e.g. law=unet")
    parser.add_argument("--side", type=int, default=16, help="of the grid, in cells (16)")
    parser.add_argument("--steps", type=int, default=8, help="of a request (8)")
    parser.add_argument("--rounds", type=int, default=25, help="each measures every variant once (25)")
    parser.add_argument("--mode", default="default", help="of compilation (default)")
    options = parser.parse_args()
    parameters = dict(text.split("=", 1) for text in options.set)
    variants, notes = _variants(parameters, options.mode)
    calls = {rows: _call(rows, options) for rows in (1, BATCH)}
    runs: dict[str, tuple[int, Callable[[], object]]] = {}
    for name, loaded in variants.items():
        for rows, call in calls.items():
            batch = loaded.batch(call)
            began = time.perf_counter()
            loaded.api.predict(batch)
            print(f"{name}, {rows} rows: first call {time.perf_counter() - began:.1f} s", flush=True)
            text = f"{name}, {rows} row{'s' if rows > 1 else ''}"
            runs[text] = (rows, lambda api=loaded.api, batch=batch: api.predict(batch))  # type: ignore[misc]
    seconds = _measure(runs, options.rounds)
    print(
        f"\n{options.steps} steps at {options.side} x {options.side}; {conditions()}; {options.rounds} rounds"
    )
    print("| Variant | ms per request | quarter to quarter | requests/s over eager B=1 |\n|---|---|---|---|")
    for name, values in seconds.items():
        found = measured(values)
        gain = "1" if name == BASE else ratio(values, seconds[BASE])
        print(
            f"| {name} | {1e3 * found.median:.2f} | {1e3 * found.low:.2f} to {1e3 * found.high:.2f} | {gain} |"
        )
    for note in notes:
        print(note)


def _variants(parameters: dict[str, str], mode: str) -> tuple[dict[str, LoadedModel], list[str]]:
    """Loaded models by name, and why one is missing."""
    found = {"eager": load_model("builtin://qca", parameters)}
    found["compiled"] = load_model("builtin://qca", parameters)
    _compile(found["compiled"], mode)
    narrow = load_model("builtin://qca", parameters)
    modules = precision.modules_of(narrow.api)
    try:
        plan = plan_precision(
            PrecisionConfig(policy="bf16"),
            precision.layers_of(modules),
            precision.groups_of(narrow.api, modules),
            precision.probe(narrow.device),
        )
    except PrecisionError as error:
        return found, [f"bf16 is not measured: {error}"]
    report = precision.apply_precision(modules, plan, device=narrow.device, observe=lambda: None)
    _compile(narrow, mode)
    found["compiled bf16"] = narrow
    return found, [f"bf16: {note}" for note in report.notes]


def _compile(loaded: LoadedModel, mode: str) -> None:
    loaded.api.compile_with(BucketCompiler(CompileConfig(mode=mode), loaded.device))


def _call(rows: int, options: argparse.Namespace) -> WarmupCall:
    parameters = {"height": options.side, "width": options.side, "steps": options.steps}
    return WarmupCall(inputs={"seed": np.arange(rows)}, parameters=parameters)


def _measure(runs: dict[str, tuple[int, Callable[[], object]]], rounds: int) -> dict[str, list[float]]:
    """Seconds per request, by variant, of each round; BATCH requests each."""
    seconds: dict[str, list[float]] = defaultdict(list)
    order: list[Any] = list(runs.items())
    for _ in range(rounds):
        random.shuffle(order)
        for name, (rows, run) in order:
            began = time.perf_counter()
            for _ in range(BATCH // rows):
                run()
            seconds[name].append((time.perf_counter() - began) / BATCH)
    return {name: seconds[name] for name in runs}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
