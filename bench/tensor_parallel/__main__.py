"""`python -m bench.tensor_parallel`: sceneline large in one process and in two, on the CPU; prints a table in Markdown."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from bench.tensor_parallel.runs import Ended, run_ranks
from bench.tensor_parallel.work import Work

MIB = 1024**2


def main() -> None:
    """One process of one thread, one of two, two of one thread each; SystemExit where a rank failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="large", choices=("small", "large"))
    parser.add_argument("--words", type=int, default=256, help="of the longer prompt, behind 64 patches")
    parser.add_argument("--steps", type=int, default=16, help="tokens of each of the two texts")
    given = parser.parse_args()
    work = Work(side=64, words=given.words, steps=given.steps)
    print(f"sceneline {given.preset}: two texts behind {work.patches} patches and {work.words} and "
          f"{work.words // 2} words, {work.steps} tokens each, float32\n")  # fmt: skip
    print("| processes x threads | prompts s | one step ms (median) | weights MiB | cache MiB | peak MiB of a process | largest difference |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    whole = None
    for ranks, threads in ((1, 1), (1, 2), (2, 1)):
        with tempfile.TemporaryDirectory() as folder:
            ended = run_ranks(Path(folder), given.preset, work, ranks=ranks, threads=threads)
        if any(ended.statuses):
            raise SystemExit(ended.words)
        whole = whole or ended
        print(_line(ranks, threads, ended, whole))


def _line(ranks: int, threads: int, ended: Ended, whole: Ended) -> str:
    lead, alone = ended.wrote[0], whole.wrote[0]
    difference = np.abs(lead["logits"] - alone["logits"]).max()
    same = "" if np.array_equal(lead["tokens"], alone["tokens"]) else ", other tokens"
    return (
        f"| {ranks} x {threads} | {float(lead['prompt_seconds']):.2f} | {1000 * statistics.median(lead['step_seconds']):.0f} "
        f"| {int(lead['weight_bytes']) / MIB:.0f} | {int(lead['used_bytes']) / MIB:.1f} "
        f"| {max(int(one['peak_bytes']) for one in ended.wrote) / MIB:.0f} | {difference:.1e}{same} |"
    )


if __name__ == "__main__":
    main()
