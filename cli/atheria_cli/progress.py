"""What a show of several steps says: timed lines for people, lines of JSON for programs. Used by both demos."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from atheria_cli.console import make_console, print_line
from atheria_cli.options import Output
from atheria_cli.picture import terminal


class Progress:
    """Steps with their seconds and what they found, and lines between them."""

    def __init__(self, console: Console | None = None, output: Output = Output.TABLE) -> None:
        self._console = console or make_console()
        self._is_json = output is Output.JSON

    @contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """A line when the block ends, with its seconds and the facts that the block puts into the yielded dict."""
        facts: dict[str, Any] = {}
        began = time.monotonic()
        if self._console.is_terminal and not self._is_json:
            self._print(f"[dim]… {title}[/]")
        yield facts
        seconds = time.monotonic() - began
        if self._is_json:
            print_line(self._console, json.dumps({"step": title, "seconds": round(seconds, 3), **facts}))
            return
        self._print(f"[green]✓[/] {title:<54}{seconds:7.1f} s (measured)")
        if facts:
            words = ", ".join(f"{name} {value}" for name, value in facts.items())
            self._print(f"    [dim]{escape(words)}[/]")

    def say(self, text: str, **facts: Any) -> None:
        """A line; for programs with the figures that it is made of."""
        if self._is_json:
            print_line(
                self._console,
                json.dumps({"said": Text.from_markup(text, emoji=False).plain.strip(), **facts}),
            )
        else:
            self._print(text)

    def advise(self, text: str) -> None:
        """A line for people alone: a heading, or what to type next."""
        if not self._is_json:
            self._print(text)

    @contextmanager
    def live(self) -> Iterator[Callable[[Table], None]]:
        """A place for a table that changes; nowhere but on a terminal."""
        if self._is_json or not self._console.is_terminal:
            yield lambda _: None
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            yield lambda table: live.update(table, refresh=True)

    def draw(self, field: Any) -> None:
        """A frame [H, W], in colours where there are any."""
        if not self._is_json:
            low, high = float(field.min()), float(field.max())
            colour = self._console.color_system is not None
            self._console.print(terminal(field, low, high, colour=colour))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=True, emoji=False)
