"""What a second start saves with published compiled code: `python -m bench.optimization.compile_cache`.

Every start is a process of its own that loads the model, compiles or unpacks, warms every bucket up and computes. First and
second starts take turns, each first one with an empty folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.optimization.spread import measured, ratio

SHAPE = "16,{side},{side}"


def main() -> None:
    """Measure, and print one table; or be one start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], help="parameter of the model (law=unet)")
    parser.add_argument("--side", type=int, default=16, help="of the grid, in cells (16)")
    parser.add_argument("--rows", default="1,8", help="batch sizes (1,8)")
    parser.add_argument("--mode", default="default", help="of compilation: default or aot (default)")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of starts (4)")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        print(json.dumps(_start(options)))
        return
    first, second = [], []
    for index in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for found, state in ((first, "miss"), (second, "hit")):
                found.append(_process(folder))
                print(f"round {index + 1}: {json.dumps(found[-1])}", flush=True)
                if found[-1]["cache"] != state:
                    raise SystemExit(f"the cache says {found[-1]['cache']} instead of {state}")
    _print(options, first, second)


def _print(options: argparse.Namespace, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    load = os.getloadavg()
    print(
        f"\n{options.set or ['law=unet']}, {options.side} x {options.side}, batches of {options.rows}, mode "
        f"{options.mode}; load average {load[0]:.1f} / {load[1]:.1f}; {options.rounds} rounds\n"
    )
    print("| | first start s | second start s | times faster |\n|---|---|---|---|")
    for name, text in (
        ("load_and_warm_seconds", "load + compile + warm-up"),
        ("cpu_seconds", "the same in CPU seconds"),
        ("import_seconds", "imports before it, not counted"),
    ):
        a, b = [one[name] for one in first], [one[name] for one in second]
        gain = ratio(b, a) if len(a) > 3 else f"{sum(a) / sum(b):.2f}x"
        middle = [measured(x).median if len(x) > 3 else sum(x) / len(x) for x in (a, b)]
        print(f"| {text} | {middle[0]:.2f} | {middle[1]:.2f} | {gain} |")
    print(f"\ngraphs {first[0]['graphs']}, entry {first[0]['entry_bytes'] / 1e6:.1f} MB")


def _process(folder: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.optimization.compile_cache", *sys.argv[1:], "--start", folder],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _start(options: argparse.Namespace) -> dict[str, Any]:
    """One start, in this process."""
    began = time.perf_counter()
    from atheria_contract.optimization import CacheConfig, CompileConfig
    from atheria_server.optimize.compiling import BucketCompiler, CompileCache, compile_facts
    from atheria_server.optimize.loaded import load_model
    from atheria_server.optimize.warm_up import warm

    imported, cpu = time.perf_counter(), time.process_time()
    children = os.times()
    parameters = dict(text.split("=", 1) for text in options.set or ["law=unet"])
    shapes = [tuple(int(n) for n in SHAPE.format(side=options.side).split(","))]
    rows = tuple(int(n) for n in options.rows.split(","))
    loaded = load_model("builtin://qca", parameters)
    facts = compile_facts(
        model_digest="",
        code_digest="",
        device="cpu",
        mode=options.mode,
        precision="fp32",
        row_buckets=rows,
        shapes=shapes,
    )
    with CompileCache(CacheConfig(directory=str(options.start)), facts, wait_seconds=0) as cache:
        compiler = BucketCompiler(
            CompileConfig(mode=options.mode), "cpu", directory=cache.directory / "packages"
        )
        loaded.api.compile_with(compiler)
        times = warm(loaded, shapes, rows, clock=time.perf_counter)
        warmed = time.perf_counter()
        compiler.freeze()
        loaded.compute(loaded.api.warmup_calls(shapes, rows[-1])[0])
        report = cache.finish(compiler.statistics().compile_seconds)
    ended = os.times()
    return {
        "cache": report.state,
        "import_seconds": imported - began,
        "load_and_warm_seconds": warmed - imported,
        "cpu_seconds": time.process_time()
        - cpu
        + (ended.children_user + ended.children_system - children.children_user - children.children_system),
        "saved_seconds": report.saved_seconds,
        "entry_bytes": sum(path.stat().st_size for path in options.start.rglob("*") if path.is_file()),
        **asdict(compiler.statistics()),
        "first_calls": [one.compile_seconds for one in times],
    }


if __name__ == "__main__":
    main()
