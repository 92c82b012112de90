"""The command line of training: parse, refuse what cannot be, start the processes, one line for what went wrong."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from atheria_server.models.qca.settings import PRESETS, QcaSettingsError, parse_settings
from atheria_server.models.qca.train.ablation_rows import ablation_rows, judged
from atheria_server.models.qca.train.machine import lacking, remark
from atheria_server.models.qca.train.options import (
    LOSSES,
    SHARDS,
    TRAINABLE,
    TrainingOptions,
    TrainingOptionsError,
    check_options,
)

EXIT_USAGE: Final = 2
_DEFAULTS: Final = TrainingOptions()


def main(arguments: Sequence[str]) -> int:
    """0: trained and, with --out, written. 1: failed or not good enough. 2: wrong options. 128 + n: signal n."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
        check_options(options)
        _check_files(given)
    except (TrainingOptionsError, QcaSettingsError) as error:
        return _fail(str(error), EXIT_USAGE)
    if reason := lacking(options):
        return _fail(reason, EXIT_USAGE)
    return _ablate(given, options) if given.ablation else _train(given, options)


def _ablate(given: argparse.Namespace, options: TrainingOptions) -> int:
    from atheria_server.models.qca.train.ablation import AblationError, run_ablation
    from atheria_server.models.qca.train.ablation_report import ablation_text, record, write_measurements
    from atheria_server.models.qca.train.plot import plot_losses

    rows = [judged(row) for row in ablation_rows(options, seeds=given.seeds)]
    if given.only:
        rows = [row for row in rows if row.is_noise or row.name in given.only]
    try:
        ablation = run_ablation(rows, turns=given.turns, say=_note)
        text = ablation_text(ablation, options, turns=given.turns, seeds=given.seeds)
        sys.stdout.write(text)
        if given.report is not None:
            write_measurements(given.report, ablation)
        if given.plot is not None:
            plot_losses(
                {outcome.row.name: outcome.final["losses"] for outcome in ablation.outcomes},
                given.plot,
                noise=[row.name for row in rows if row.is_noise],
            )
        if given.record is not None:
            picture = os.path.relpath(given.plot, given.record.parent) if given.plot is not None else ""
            record(given.record, text, picture)
    except (AblationError, OSError, ValueError) as error:
        return _fail(str(error), 1)
    return 0


def _train(given: argparse.Namespace, options: TrainingOptions) -> int:
    from atheria_server.models.qca.train.checkpoint import CheckpointError
    from atheria_server.models.qca.train.memory import import_early
    from atheria_server.models.qca.train.processes import run_in_processes
    from atheria_server.models.qca.train.ranks import Ranks
    from atheria_server.models.qca.train.run import Files, run

    if reason := remark(options):
        _note(reason)
    files = Files(
        out=given.out,
        checkpoint=given.checkpoint,
        resume=given.resume,
        report=given.report,
        plot=given.plot,
        checkpoint_every=given.checkpoint_every,
        progress_every=given.progress_every,
        minimum_fidelity=given.minimum_fidelity,
    )
    import_early()
    try:
        if options.processes > 1:
            return run_in_processes(run, options, files)
        return run(options, Ranks(), files)
    except (CheckpointError, OSError) as error:
        return _fail(str(error), 1)


def _options(given: argparse.Namespace) -> TrainingOptions:
    network = {
        name: getattr(given, name)
        for name in ("preset", "law", "d", "hidden", "depth")
        if getattr(given, name) is not None
    }
    sizes = parse_settings(network)
    return TrainingOptions(
        law=sizes.law,
        channels=sizes.channels,
        hidden=sizes.hidden,
        depth=sizes.depth,
        seed=given.seed,
        iterations=given.iterations,
        batch=given.batch,
        side=given.side,
        learning_rate=given.learning_rate,
        device=given.device,
        threads=given.threads,
        loader_workers=given.loader_workers,
        pin_memory=given.pin_memory,
        precompute=given.precompute,
        amp=given.amp is not None,
        fused=given.fused,
        accumulate=given.accumulate,
        set_to_none=not given.keep_gradients,
        gradient_checkpointing=given.gradient_checkpointing,
        compiled=given.compile,
        loss=given.loss,
        rows_together=given.rows_together,
        shard=given.shard,
        processes=given.processes,
    )


def _check_files(given: argparse.Namespace) -> None:
    if given.ablation:
        _check_ablation(given)
    elif given.record is not None or given.only:
        raise TrainingOptionsError("--record and --only belong to --ablation; add it or remove them")
    if given.resume and given.checkpoint is None:
        raise TrainingOptionsError("--resume needs --checkpoint FILE, the file to continue from")
    if given.checkpoint is not None and given.checkpoint.exists() and not given.resume:
        raise TrainingOptionsError(
            f"--checkpoint {given.checkpoint} exists; continue it with --resume, or remove it to begin anew"
        )
    for flag in ("out", "checkpoint", "report", "plot", "record"):
        path: Path | None = getattr(given, flag)
        if path is not None and not path.absolute().parent.is_dir():
            raise TrainingOptionsError(
                f"--{flag} is {path}, but {path.parent} is not a folder; make it first"
            )
    if given.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise TrainingOptionsError(
            "--plot needs matplotlib, which is missing; install the extra: pip install 'atheria[report]'"
        )
    for flag in ("checkpoint_every", "progress_every"):
        if getattr(given, flag) < 1:
            raise TrainingOptionsError(
                f"--{flag.replace('_', '-')} is {getattr(given, flag)}; expected a whole number from 1"
            )
    if not 0 <= given.minimum_fidelity <= 1:
        raise TrainingOptionsError(
            f"--minimum-fidelity is {given.minimum_fidelity}; expected a number from 0 to 1"
        )


def _check_ablation(given: argparse.Namespace) -> None:
    for flag in ("out", "checkpoint"):
        if getattr(given, flag) is not None:
            raise TrainingOptionsError(f"--{flag} does nothing with --ablation; remove it")
    if not 2 <= given.seeds <= 20:
        raise TrainingOptionsError(f"--seeds is {given.seeds}; expected a whole number from 2 to 20")
    if not 2 <= given.turns <= given.iterations // 2:
        raise TrainingOptionsError(
            f"--turns is {given.turns}; expected a whole number from 2 to half of --iterations"
        )
    names = [row.name for row in ablation_rows(TrainingOptions(), seeds=given.seeds)]
    if unknown := sorted(set(given.only) - set(names)):
        raise TrainingOptionsError(f"--only is {unknown[0]!r}; allowed: {', '.join(names)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server train",
        description="Train a law to imitate kerr, on states along kerr's own trajectories.",
        allow_abbrev=False,
    )
    _add_problem(parser.add_argument_group("what is trained"))
    _add_speed(parser.add_argument_group("how: each is measured by --ablation"))
    _add_files(parser.add_argument_group("files and progress"))
    _add_ablation(parser.add_argument_group("ablation: every option against the training as given"))
    return parser


def _add_problem(group: Any) -> None:
    group.add_argument("--preset", choices=tuple(PRESETS), help="law and sizes by name")
    group.add_argument("--law", choices=TRAINABLE, help=f"default {_DEFAULTS.law}")
    group.add_argument("--d", type=int, help="complex channels per cell (default 8)")
    group.add_argument("--hidden", type=int, help="width of the network (default: the law's)")
    group.add_argument("--depth", type=int, help="hidden layers of nca and euler (default 2)")
    group.add_argument("--seed", type=int, default=0, help="of the weights and the order of the states (0)")
    group.add_argument("--iterations", type=int, default=_DEFAULTS.iterations, help="default %(default)s")
    group.add_argument("--batch", type=int, default=_DEFAULTS.batch, help="states an iteration (%(default)s)")
    group.add_argument("--side", type=int, default=_DEFAULTS.side, help="of the grid (default %(default)s)")
    group.add_argument(
        "--learning-rate", type=float, default=_DEFAULTS.learning_rate, help="of Adam, at first (%(default)s)"
    )


def _add_speed(group: Any) -> None:
    group.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    group.add_argument("--threads", type=int, default=1, help="of torch, in each process (default 1)")
    group.add_argument(
        "--loader-workers", type=int, default=0, metavar="N", help="processes that prepare batches (0)"
    )
    group.add_argument(
        "--pin-memory",
        action="store_true",
        help="CUDA: page-locked batches, copied while the device computes",
    )
    group.add_argument(
        "--precompute", action="store_true", help="the teacher's states once, before the start"
    )
    group.add_argument("--amp", choices=("bf16",), help="the network's products in bfloat16")
    group.add_argument("--fused", action="store_true", help="Adam as one kernel")
    group.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="cut a batch into N parts, add up gradients (1)",
    )
    group.add_argument(
        "--keep-gradients",
        action="store_true",
        help="zero the gradients instead of freeing them (set_to_none)",
    )
    group.add_argument(
        "--gradient-checkpointing", action="store_true", help="keep a state per step, compute the rest again"
    )
    group.add_argument(
        "--compile", action="store_true", help="torch.compile of the step; needs a C++ compiler"
    )
    group.add_argument("--loss", choices=LOSSES, default="batched", help="looped: state by state (batched)")
    group.add_argument(
        "--rows-together",
        action="store_true",
        help="the network takes all states in one product; rounds differently",
    )
    group.add_argument("--processes", type=int, default=1, metavar="N", help="on this machine, by gloo (1)")
    group.add_argument("--shard", choices=SHARDS, default="none", help="what the processes divide (none)")


def _add_files(group: Any) -> None:
    group.add_argument("--out", type=Path, metavar="FILE", help="safetensors file of the trained weights")
    group.add_argument(
        "--minimum-fidelity", type=float, default=0.999, help="held-out, 8 steps; below it nothing is written"
    )
    group.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="kept while training, and when stopped"
    )
    group.add_argument("--checkpoint-every", type=int, default=100, metavar="N", help="iterations (100)")
    group.add_argument("--resume", action="store_true", help="continue from the file of --checkpoint")
    group.add_argument("--progress-every", type=int, default=50, metavar="N", help="iterations (50)")
    group.add_argument("--report", type=Path, metavar="FILE", help="everything measured, as JSON")
    group.add_argument("--plot", type=Path, metavar="FILE", help="loss curve as SVG or PNG (extra `report`)")


def _add_ablation(group: Any) -> None:
    group.add_argument(
        "--ablation", action="store_true", help="train all rows in turns and print their table"
    )
    group.add_argument("--seeds", type=int, default=5, help="trainings that show the noise (default 5)")
    group.add_argument("--turns", type=int, default=30, help="in which the iterations are measured (30)")
    group.add_argument("--only", action="append", default=[], metavar="ROW", help="this row; may be repeated")
    group.add_argument("--record", type=Path, metavar="FILE", help="page whose `## Results` are replaced")


def _fail(reason: str, code: int) -> int:
    sys.stderr.write(f"atheria-server train: error: {' '.join(reason.split())}\n")
    return code


def _note(line: str) -> None:
    sys.stderr.write(f"atheria-server train: {line}\n")
