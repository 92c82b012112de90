"""What a show says to people and to programs."""

from __future__ import annotations

import json

import numpy as np
from rich.console import Console
from rich.table import Table

from atheria_cli.options import Output
from atheria_cli.progress import Progress


def show(output: Output) -> str:
    console = Console(width=200)
    said = Progress(console, output)
    with console.capture() as printed:
        said.advise("\n[bold]Calls[/]")
        with said.step("the first call") as facts:
            facts.update(pods=2)
        said.say("  answered in 3 ms", seconds=0.003)
        with said.live() as update:
            update(Table("A"))
        said.draw(np.eye(4, dtype=np.float32))
    return printed.get()


def test_people_get_lines_with_seconds_facts_and_a_drawing() -> None:
    words = show(Output.TABLE)
    assert "Calls" in words
    assert "✓ the first call" in words
    assert "s (measured)" in words
    assert "    pods 2" in words
    assert "  answered in 3 ms" in words
    assert "@" in words


def test_programs_get_one_document_a_line_and_nothing_else() -> None:
    step, line = map(json.loads, show(Output.JSON).splitlines())
    assert (step["step"], step["pods"]) == ("the first call", 2)
    assert step["seconds"] >= 0
    assert line == {"said": "answered in 3 ms", "seconds": 0.003}
