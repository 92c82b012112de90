"""The options of `profile`, `evaluate` and `economics` that say which calls are measured, and how often."""

from __future__ import annotations

import argparse
import json
import os
from typing import Final

from atheria_server.models.contract import Scalar
from atheria_server.optimize.profiling.rounds import CLOCKS

ROWS: Final = (1, 2, 4, 8, 16)
ROUNDS: Final = 7
ROUNDS_MIN: Final = 1
ROUNDS_MAX: Final = 1000


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """`--request`, `--rows`, `--rounds`, `--clock`, `--output`."""
    parser.add_argument(
        "--request",
        action="append",
        type=_parameter,
        metavar="KEY=VALUE",
        help="parameter of the measured requests, such as steps=8; repeatable",
    )
    parser.add_argument(
        "--rows",
        type=_rows,
        default=ROWS,
        metavar="N,N,...",
        help=f"batch sizes to measure (default {','.join(map(str, ROWS))})",
    )
    parser.add_argument(
        "--rounds", type=_rounds, default=ROUNDS, help=f"interleaved rounds (default {ROUNDS})"
    )
    parser.add_argument(
        "--clock",
        choices=tuple(CLOCKS),
        default="wall",
        help="processor: count processor seconds, for one thread on a busy machine (default wall)",
    )
    parser.add_argument("--output", choices=("markdown", "json"), default="markdown")


def request_parameters(options: argparse.Namespace) -> dict[str, Scalar]:
    """What `--request` said."""
    return dict(options.request or ())


def quiet_profiler() -> None:
    """Before torch is imported: its profiler writes lines of its own to stderr otherwise."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "5")


def _parameter(text: str) -> tuple[str, Scalar]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE, such as steps=8")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    return key, found if isinstance(found, str | int | float | bool) else value


def _rows(text: str) -> tuple[int, ...]:
    try:
        rows = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        rows = ()
    if len(rows) < 2 or rows[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected at least two sizes from 1 on, such as 1,2,4,8")
    return rows


def _rounds(text: str) -> int:
    rounds = int(text) if text.isdecimal() else 0
    if not ROUNDS_MIN <= rounds <= ROUNDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {ROUNDS_MIN} to {ROUNDS_MAX}")
    return rounds
