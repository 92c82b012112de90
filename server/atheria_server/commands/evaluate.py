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

from atheria_contract.serving import ServingConfig, ServingConfigError
from atheria_server.core.checklist import Checklist
from atheria_server.core.errors import CallError, ModelRefusedError
from atheria_server.engine.resources import visible_devices
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.registry import load_served
from atheria_server.models.served import SourceError
from atheria_server.models.text.api import TextApi
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
        checklist = _text(config, options) if _is_text(config) else _validated(config, options)
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


def _is_text(config: ServingConfig) -> bool:
    """Whether it is of the runtime `text`: its calls are texts, not rows of a batch."""
    served = load_served(
        config.source, config.parameters, config.digest, cache_directory=config.cache.directory
    )
    return len(served.apis) == 1 and isinstance(served.apis[0], TextApi)


def _text(config: ServingConfig, options: argparse.Namespace) -> Checklist:
    from atheria_server.optimize.evaluation.text_options import TextWork, evaluate_text

    work = TextWork(
        callers=options.callers, prompt_tokens=options.prompt_tokens, new_tokens=options.new_tokens
    )
    return evaluate_text(
        config,
        visible_devices()[0],
        rounds=options.rounds,
        clock=options.clock,
        work=work,
        most_loss=options.loss,
    )


def _validated(config: ServingConfig, options: argparse.Namespace) -> Checklist:
    from atheria_server.optimize.evaluation.validation import Limits, evaluate

    return evaluate(
        config,
        visible_devices()[0],
        rows=options.rows,
        parameters=request_parameters(options),
        rounds=options.rounds,
        limits=Limits(
            p99_seconds=None if options.p99_ms is None else options.p99_ms / 1e3,
            usd_per_thousand=options.usd_per_thousand,
            loss=options.loss,
        ),
        prices_file=options.prices,
        price_name=options.price,
        clock=options.clock,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server evaluate",
        description="Validate a variant of a model against the model as it is written: quality, speed, memory, "
        "cost. Exit status 3 if a check fails.",
    )
    add_request_options(parser)
    parser.add_argument("--p99-ms", type=float, help="limit for the 99th percentile of single calls")
    parser.add_argument("--usd-per-thousand", type=float, help="limit for the cost of 1000 inferences")
    parser.add_argument(
        "--loss",
        type=float,
        metavar="SHARE",
        help="limit for what all options together change of the answers, 0 to 1, e.g. 0.02",
    )
    parser.add_argument("--prices", type=Path, metavar="FILE", help="as of `economics`")
    parser.add_argument(
        "--price", default="", metavar="DEVICE", help="entry of the prices (default: that of this device)"
    )
    parser.add_argument(
        "--summary", type=Path, metavar="FILE", help="write the summary there, at most 1000 bytes of JSON"
    )
    for name, default, what in (
        ("callers", 16, "texts at once"),
        ("prompt-tokens", 384, "tokens of each prompt, about"),
        ("new-tokens", 32, "tokens of each text"),
    ):
        parser.add_argument(
            f"--{name}", type=_from_one, default=default, help=f"text models: {what} (default {default})"
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


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 on")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers of workers such as 1,2,3")
    return counts
