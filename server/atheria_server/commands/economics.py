"""`atheria-server economics [SOURCE]`: what 1000 inferences cost, here by measurement and elsewhere by roofline.

A measured row needs the device; every other device of the table is modelled from its data sheet and says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from atheria_contract.serving import ServingConfigError
from atheria_server.core.cost_table import Operation
from atheria_server.core.economics import EconomicsError
from atheria_server.core.errors import CallError, ModelRefusedError
from atheria_server.engine.resources import visible_devices
from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.served import SourceError
from atheria_server.optimize.evaluation.request_options import add_request_options, request_parameters
from atheria_server.optimize.evaluation.tables import TableError
from atheria_server.settings import parse_arguments

DEFAULT_SOURCE: Final = "builtin://qca"
SEEDS_UTILISATION: Final = (0.248, 0.75)
SEEDS_COLD_SECONDS: Final = (167.35, 81.89)
_WRONG: Final = (
    ServingConfigError,
    SourceError,
    ModelRefusedError,
    InvalidRequestError,
    CallError,
    TableError,
    EconomicsError,
)


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with one line on stderr."""
    options, rest = _parser().parse_known_args(arguments)
    if not rest or (rest[0].startswith("-") and "--config" not in rest):
        rest = [DEFAULT_SOURCE, *rest]
    try:
        config = parse_arguments(["serve", *rest])
        from atheria_server.optimize.evaluation import cost_report
        from atheria_server.optimize.profiling import plots

        found = cost_report.cost_report(
            config,
            visible_devices()[0],
            prices_file=options.prices,
            rows=options.rows,
            parameters=request_parameters(options),
            rounds=options.rounds,
            operation=Operation(
                utilisation=options.utilisation,
                cold_seconds=options.cold_seconds,
                starts_per_day=options.starts_per_day,
            ),
            inferences_per_day=options.inferences_per_day,
            before=options.before,
            after=options.after,
            clock=options.clock,
        )
    except _WRONG as error:
        sys.stderr.write(f"atheria-server: error: {error}\n")
        return 1
    text = json.dumps(found.to_json(), indent=2) if options.output == "json" else cost_report.markdown(found)
    sys.stdout.write(text + "\n")
    if options.plot:
        try:
            for path, fall, title in cost_report.plots(found, options.plot):
                plots.plot_waterfall(path, fall, title)
        except plots.PlotError as error:
            sys.stderr.write(f"{error}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atheria-server economics",
        description="Cost of 1000 inferences: measured on this machine, modelled for other devices. Options of `serve` "
        f"choose the model ({DEFAULT_SOURCE} by default), its precision and its compilation.",
    )
    add_request_options(parser)
    parser.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help="JSON list of device, usd_per_hour, source, date (default: a table of 2026 that comes along)",
    )
    parser.add_argument(
        "--utilisation",
        type=_shares,
        default=SEEDS_UTILISATION,
        metavar="BEFORE:AFTER",
        help="busy part of the time in which replicas are ready (default 0.248:0.75, a claim and a goal)",
    )
    parser.add_argument(
        "--cold-seconds",
        type=_pair,
        default=SEEDS_COLD_SECONDS,
        metavar="BEFORE:AFTER",
        help="start of a replica until ready (default 167.35:81.89, published figures of another service)",
    )
    parser.add_argument(
        "--starts-per-day", type=float, default=24.0, help="of a replica (default 24); 0 = none"
    )
    parser.add_argument(
        "--inferences-per-day", type=_count, default=100_000, help="for the daily bill (default 100000)"
    )
    parser.add_argument(
        "--before", default="A100-80", help="device of the modelled waterfall's begin (default A100-80)"
    )
    parser.add_argument("--after", default="L4", help="and of its end (default L4)")
    parser.add_argument(
        "--plot", type=Path, metavar="FOLDER", help="waterfalls as SVG; needs the extra report"
    )
    return parser


def _pair(text: str) -> tuple[float, float]:
    try:
        before, after = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected BEFORE:AFTER, such as 30:2") from error
    if before < 0 or after < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0 or more")
    return before, after


def _shares(text: str) -> tuple[float, float]:
    pair = _pair(text)
    if not all(0 < share <= 1 for share in pair):
        raise argparse.ArgumentTypeError(f"{text!r}: expected shares above 0 and at most 1")
    return pair


def _count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return count
