"""`atheria bench`: how many calls a model answers, and how fast. Called by `__main__`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from atheria_cli.calls.gateway import Destination
from atheria_cli.calls.load import Load, Tally, load_model
from atheria_cli.calls.percentiles import as_json, check_plot, plot, summarize, summary_table
from atheria_cli.calls.request import CallOptions, prepared
from atheria_cli.errors import CommandError
from atheria_cli.kubectl import KubectlCommand
from atheria_cli.options import Output


def run_bench(
    cluster: KubectlCommand,
    destination: Destination,
    options: CallOptions,
    loads: Sequence[Load],
    output: Output,
    picture: Path | None,
    console: Console,
) -> None:
    """The loads one after another, with a bar on a terminal. Raises CommandError, also when no call was answered."""
    if picture:
        check_plot(picture)
    tallies: list[tuple[str, Tally]] = []
    found = []
    with prepared(cluster, destination, options) as request:
        for load in loads:
            with _bar(console) as bar:
                task = bar.add_task(load.name, total=1.0, calls=0)

                def told(share: float, calls: int, bar: Progress = bar, task: int = task) -> None:
                    bar.update(task, completed=share, calls=calls)  # type: ignore[arg-type]

                whole = replace(load, timeout_seconds=options.timeout_seconds)
                tally = asyncio.run(load_model(request, whole, told))
            tallies.append((load.name, tally))
            summary = summarize(tally)
            found.append(as_json(summary, whole))
            if output is Output.TABLE:
                console.print(summary_table(summary, whole))
    if output is Output.JSON:
        console.print_json(json.dumps(found))
    if picture:
        plot(picture, tallies)
    for name, tally in tallies:
        if not tally.answered:
            why = (
                "every call failed, see above"
                if tally.failures
                else "no call was due in that time: measure for longer"
            )
            raise CommandError(f"{name}: no call was answered; {why}")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[calls]} calls"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
