"""Where commands print: a terminal as wide as it is, or a file or pipe in which nothing is cut or wrapped. Used by all commands."""

from __future__ import annotations

import codecs
import io
import json
import re
import sys
from typing import Final

from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ENDLESS: Final = 10_000
"""Columns of what is no terminal."""
_AS_JSON: Final = "atheria.as-json"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Codecs call it for characters that an encoding lacks: as JSON writes them, so that a JSON document stays one."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_AS_JSON, _escaped)


def make_console() -> Console:
    """Of standard output. What is piped is read by programs: a name that is cut to fit would be another name.

    Texts come from models and clusters: brackets and `:words:` in them mean nothing to it, and no character in them ends the command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_AS_JSON)
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, emoji=False, width=_ENDLESS)


def plain_table(*columns: str) -> Table:
    """Without lines; where there is no room a word is broken, never cut."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def print_line(console: Console, text: str, *, end: str = "\n") -> None:
    """One line as it is: neither wrapped nor coloured, with its tabs, and with no meaning of brackets or `:words:`.

    On a terminal control characters are shown as �: what a model or a pod writes must not move its cursor or change its title.
    """
    if console.is_terminal:
        text = _CONTROL.sub("�", text)
    console.print(Segments([Segment(text + end)]), soft_wrap=True, end="")
