"""`atheria list`, `get` and `watch`: what models there are and how they are. Called by `__main__`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.live import Live

from atheria_cli.clock import utc_now
from atheria_cli.console import print_line
from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import Kubectl
from atheria_cli.model.read import read_model, read_models
from atheria_cli.model.summary import Summary, summarize
from atheria_cli.model.tables import detail, models_table
from atheria_cli.options import Output

WATCH_EVERY_SECONDS: Final = 1.0


def list_models(
    cluster: Kubectl, namespace: str, output: Output, console: Console, *, everywhere: bool
) -> None:
    """Print a row a model, or the JSON list of the same."""
    rows = _rows(read_models(cluster, namespace, everywhere=everywhere))
    if output is Output.JSON:
        console.print_json(json.dumps([asdict(row) for row in rows]))
    elif rows:
        console.print(models_table(rows, with_namespace=everywhere, width=console.width))
    else:
        console.print(
            "no models here; atheria apply -f model.yaml makes one, --all-namespaces looks everywhere"
        )


def get_model(cluster: Kubectl, name: str, namespace: str, output: Output, console: Console) -> None:
    """Print all of one model's status for people, or the object itself."""
    body = read_model(cluster, name, namespace)
    if output is Output.JSON:
        console.print_json(json.dumps(body))
    else:
        console.print(detail(body, utc_now()))


def watch_models(
    cluster: Kubectl,
    names: Sequence[str],
    namespace: str,
    output: Output,
    console: Console,
    *,
    everywhere: bool,
    until_ready: bool,
    timeout_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """A live table on a terminal, a line for each change anywhere else; until Ctrl-C, the timeout, or all are ready.

    `names` empty = all of them; `timeout_seconds` 0 = without end. Raises CommandError when a named model does not exist, and
    TIMEOUT when `until_ready` did not come true in time, and at once where the operator says that waiting does not help.
    """
    deadline = time.monotonic() + timeout_seconds if timeout_seconds else None
    show = _live(console, everywhere) if output is Output.TABLE and console.is_terminal else None
    before: dict[tuple[str, str], Summary] = {}
    try:
        while True:
            rows = _chosen(_rows(read_models(cluster, namespace, everywhere=everywhere)), names)
            if show:
                show.update(models_table(rows, with_namespace=everywhere, width=console.width), refresh=True)
            else:
                _print_changes(rows, before, output, console)
            before = {(row.namespace, row.name): row for row in rows}
            if until_ready and rows and all(_is_ready(row) for row in rows):
                return
            if until_ready:
                _end_where_waiting_does_not_help(rows)
            if deadline is not None and time.monotonic() >= deadline:
                _end(rows, timeout_seconds, until_ready=until_ready)
                return
            sleep(WATCH_EVERY_SECONDS)
    finally:
        if show:
            show.stop()


def _end(rows: Sequence[Summary], timeout_seconds: float, *, until_ready: bool) -> None:
    if until_ready:
        missing = ", ".join(
            f"{row.name} ({row.reason if row.is_seen and row.reason else 'not seen by the operator yet'})"
            for row in rows
            if not _is_ready(row)
        )
        raise CommandError(
            f"not ready within {timeout_seconds:g} s: {missing or 'there is no model'}; atheria get NAME says what it waits for",
            ExitCode.TIMEOUT,
        )


def _end_where_waiting_does_not_help(rows: Sequence[Summary]) -> None:
    for row in rows:
        if row.is_seen and row.ready != "True" and not row.waiting_helps:
            raise CommandError(
                f"{row.name} is not ready ({row.reason}), and waiting does not mend it: "
                f"{row.next_step or 'atheria explain ' + row.name}"
            )


def _is_ready(row: Summary) -> bool:
    """Of the spec as it is now."""
    return row.is_seen and row.ready == "True"


def _live(console: Console, everywhere: bool) -> Live:
    empty: RenderableType = models_table((), with_namespace=everywhere, width=console.width)
    live = Live(empty, console=console, auto_refresh=False)
    live.start()
    return live


def _print_changes(
    rows: Sequence[Summary], before: Mapping[tuple[str, str], Summary], output: Output, console: Console
) -> None:
    now = utc_now().isoformat(timespec="seconds")
    for row in rows:
        known = before.get((row.namespace, row.name))
        if known is not None and _same(known, row):
            continue
        if output is Output.JSON:
            print_line(console, json.dumps({"time": now, **asdict(row)}))
        else:
            print_line(
                console,
                f"{now} {row.namespace}/{row.name} ready={row.ready} reason={row.reason or '-'} phase={row.phase or '-'}"
                f" pods={row.replicas_ready}/{row.replicas_asked} queue={row.queue}",
            )
    for namespace, name in sorted(set(before) - {(row.namespace, row.name) for row in rows}):
        gone: dict[str, Any] = {"time": now, "namespace": namespace, "name": name, "gone": True}
        print_line(
            console, json.dumps(gone) if output is Output.JSON else f"{now} {namespace}/{name} is gone"
        )


def _same(one: Summary, other: Summary) -> bool:
    return {**asdict(one), "age_seconds": 0} == {**asdict(other), "age_seconds": 0}


def _rows(bodies: Sequence[Mapping[str, Any]]) -> list[Summary]:
    now = utc_now()
    return [summarize(body, now) for body in bodies]


def _chosen(rows: list[Summary], names: Sequence[str]) -> list[Summary]:
    if not names:
        return rows
    if missing := sorted(set(names) - {row.name for row in rows}):
        known = ", ".join(sorted({row.name for row in rows})) or "none"
        raise CommandError(f"there is no model {missing[0]!r} here; there are: {known}", ExitCode.NOT_FOUND)
    return [row for row in rows if row.name in names]
