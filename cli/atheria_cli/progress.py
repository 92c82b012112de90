"""Timed lines: one line a step, with the seconds it took, on a terminal and in a log alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Print `title … note  1.2 s` when the block ends; the block may append words to the yielded list as the note."""
    notes: list[str] = []
    began = time.monotonic()
    if console.is_terminal:
        with console.status(title):
            yield notes
    else:
        yield notes
    seconds = time.monotonic() - began
    console.print(f"[green]✓[/] {title:<54}{seconds:7.1f} s  [dim]{'; '.join(notes)}[/]")


def say(text: str) -> None:
    """Print one line of explanation."""
    console.print(text)


def heading(text: str) -> None:
    """Start a part of the show."""
    console.print(f"\n[bold]{text}[/]")
