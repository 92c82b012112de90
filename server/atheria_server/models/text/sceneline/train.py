"""`python -m atheria_server.models.text.sceneline.train`: what made the weights that ship, in four minutes of a processor.

Progress is a line every 50 iterations. What is written is the float16 file, and what is judged is what was written.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch

from atheria_server.models.text.sceneline.held_out import Quality, fitted_threshold, judge
from atheria_server.models.text.sceneline.training import (
    Trainer,
    TrainingOptions,
    TrainingOptionsError,
    trained_network,
)
from atheria_server.models.text.sceneline.weights import dump_network, parse_network
from atheria_server.models.weight_files import digest_of

EXIT_NOT_GOOD_ENOUGH: Final = 1
EXIT_USAGE: Final = 2
SIZES_JUDGED: Final = ((64, 64), (64, 96), (96, 64))
_DEFAULTS: Final = TrainingOptions()


def main(arguments: Sequence[str]) -> int:
    """0: trained and, with --out, written. 1: not good enough, or the file cannot be written. 2: wrong options."""
    given = _parser().parse_args(arguments)
    try:
        options = TrainingOptions(
            **{name: getattr(given, name) for name in ("seed", "iterations", "batch", "learning_rate")}
        )
        _check(given)
    except TrainingOptionsError as error:
        return _fail(str(error), EXIT_USAGE)
    torch.set_num_threads(given.threads)
    trainer = Trainer(options)
    started, processor = time.monotonic(), time.process_time()
    for _ in range(options.iterations):
        captions, grounding = trainer.advance()
        if trainer.iteration % given.progress_every == 0 or trainer.iteration == options.iterations:
            _say(
                f"iteration {trainer.iteration}/{options.iterations} captions {captions:.3f} "
                f"grounding {grounding:.3f} seconds {time.monotonic() - started:.0f} "
                f"processor seconds {time.process_time() - processor:.0f}"
            )
    network = trained_network(trainer)
    network.grounding_threshold.fill_(fitted_threshold(network))
    data = dump_network(network)
    return _write(given, data, _judged(data))


def _judged(data: bytes) -> dict[tuple[int, int], Quality]:
    network = parse_network(data, "the trained network", "small")
    found = {}
    for height, width in SIZES_JUDGED:
        found[height, width] = judge(network, height, width)
        figures = " ".join(f"{name} {value:.4f}" for name, value in asdict(found[height, width]).items())
        _say(f"held out {height} x {width}: {figures}")
    _say(f"threshold {float(network.grounding_threshold):.2f}")
    return found


def _write(given: argparse.Namespace, data: bytes, quality: dict[tuple[int, int], Quality]) -> int:
    least = min(one.patch_iou for one in quality.values())
    if least < given.minimum_iou:
        return _fail(
            f"patch_iou is {least:.4f}, the limit is {given.minimum_iou}; nothing written: train longer, "
            "or lower --minimum-iou",
            EXIT_NOT_GOOD_ENOUGH,
        )
    if given.out is not None:
        try:
            given.out.write_bytes(data)
        except OSError as error:
            return _fail(f"--out {given.out} cannot be written: {error.strerror}", EXIT_NOT_GOOD_ENOUGH)
        _say(f"wrote {given.out}, {len(data)} bytes, {digest_of(data)}")
    return 0


def _check(given: argparse.Namespace) -> None:
    if given.out is not None and not given.out.absolute().parent.is_dir():
        raise TrainingOptionsError(
            f"--out is {given.out}, but {given.out.parent} is not a folder; make it first"
        )
    for name in ("threads", "progress_every"):
        if getattr(given, name) < 1:
            raise TrainingOptionsError(
                f"--{name.replace('_', '-')} is {getattr(given, name)}; expected a whole number from 1"
            )
    if not 0 <= given.minimum_iou <= 1:
        raise TrainingOptionsError(f"--minimum-iou is {given.minimum_iou}; expected a number from 0 to 1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sceneline train",
        description="Train the network of sceneline on synthetic scenes, and fit its grounding's threshold.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="safetensors file, float16, with the threshold"
    )
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="default %(default)s")
    parser.add_argument("--iterations", type=int, default=_DEFAULTS.iterations, help="default %(default)s")
    parser.add_argument(
        "--batch", type=int, default=_DEFAULTS.batch, help="scenes an iteration (%(default)s)"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=_DEFAULTS.learning_rate, help="highest (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch (default 1); decides the last bits")
    parser.add_argument("--progress-every", type=int, default=50, metavar="N", help="iterations (50)")
    parser.add_argument(
        "--minimum-iou", type=float, default=0.88, help="held out; below it nothing is written (%(default)s)"
    )
    return parser


def _fail(reason: str, code: int) -> int:
    sys.stderr.write(f"sceneline train: error: {' '.join(reason.split())}\n")
    return code


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
