"""`atheria-server evaluate SOURCE`: the validation report of a variant, one line for each check.

Options of `serve` choose the model and the variant (`--precision`, `--compile`, `--quality`). `--workers 1,2,3` starts
real servers instead and measures concurrent jobs on one device.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from atheria_contract.serving import ServingConfigError
from atheria_server.core.errors import CallError, ModelRefusedError
from atheria_server.engine.resources import visible_devices
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.served import SourceError
from atheria_server.optimize.evaluation.request_options import (
    add_request_options,
    quiet_profiler,
    request_parameters,
)
from atheria_server.optimize.evaluation.server_process import ServerProcessError
from atheria_server.optimize.evaluation.tables import TableError
from atheria_server.optimize.evaluations import keep_evaluation
from atheria_server.settings import parse_arguments

EXIT_FAILED_CHECK = 3
_WRONG = (
    ServingConfigError,
    SourceError,
    ModelRefusedError,
    InvalidRequestError,
    CallError,
    TableError,
    ServerProcessError,
)


def main(arguments: Sequence[str]) -> int:
    """0, 3 if a check fails, or 1 with one line on stderr."""
    options, rest = _parser().parse_known_args(arguments)
    quiet_profiler()
    try:
        config = parse_arguments(["serve", *rest])
        if options.workers:
            if "--config" in rest:
                raise ServingConfigError(
                    "--workers starts servers of its own; give SOURCE and options, not --config"
                )
            from atheria_server.optimize.evaluation import concurrency

            found = concurrency.measure_workers(
                config.source,
                [one for one in rest if one != config.source],
                counts=options.workers,
                model_parameters=config.parameters,
                parameters=request_parameters(options),
                shape=config.warmup_shapes[0] if config.warmup_shapes else (),
                rounds=options.rounds,
                seconds=options.seconds,
            )
            sys.stdout.write(
                (json.dumps(found.to_json(), indent=2) if options.output == "json" else found.markdown())
                + "\n"
            )
            return 0
        from atheria_server.optimize.evaluation.validation import Limits, evaluate

        checklist = evaluate(
            config,
            visible_devices()[0],
            rows=options.rows,
            parameters=request_parameters(options),
            rounds=options.rounds,
            limits=Limits(
                p99_seconds=None if options.p99_ms is None else options.p99_ms / 1e3,
                usd_per_thousand=options.usd_per_thousand,
            ),
            prices_file=options.prices,
            price_name=options.price,
            clock=options.clock,
        )
    except _WRONG as error:
        sys.stderr.write(f"atheria-server: error: {error}\n")
        return 1
    text = json.dumps(checklist.to_json(), indent=2) if options.output == "json" else checklist.markdown()
    sys.stdout.write(text + "\n")
    if options.summary:
        options.summary.write_text(checklist.summary() + "\n", encoding="utf-8")
    if config.cache.directory:
        try:
            keep_evaluation(config, json.loads(checklist.summary()))
        except OSError as error:
            sys.stderr.write(
                f"atheria-server: the summary is not kept in {config.cache.directory}: {error}\n"
            )
    return 0 if checklist.passed else EXIT_FAILED_CHECK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server evaluate",
        description="Validate a variant of a model against the model as it is written: quality, speed, memory, "
        "cost. Exit status 3 if a check fails.",
    )
    add_request_options(parser)
    parser.add_argument("--p99-ms", type=float, help="limit for the 99th percentile of single calls")
    parser.add_argument("--usd-per-thousand", type=float, help="limit for the cost of 1000 inferences")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="as of `economics`")
    parser.add_argument(
        "--price", default="", metavar="DEVICE", help="entry of the prices (default: that of this device)"
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the summary there, at most 1000 bytes of JSON"
    )
    parser.add_argument(
        "--workers",
        type=_counts,
        metavar="N,N,...",
        help="measure real servers with so many workers each, instead of the checks",
    )
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="with --workers: of load in a round (default 3)"
    )
    return parser


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers of workers such as 1,2,3")
    return counts
