"""The pages about the command line say what it does."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from atheria_cli.__main__ import app
from atheria_cli.errors import ExitCode

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_every_exit_code_is_documented_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| Exit code |")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(map(int, ExitCode))


def test_every_command_of_the_page_exists_with_its_options() -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group)
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}  # type: ignore[attr-defined]
    lines: list[str] = re.findall(r"`atheria ([a-z][^`]*)`", PAGE.read_text(encoding="utf-8"))
    assert {line.split()[0] for line in lines} >= set(commands)
    for line in lines:
        name, *rest = line.split()
        options = {option for parameter in commands[name].params for option in parameter.opts}
        for word in rest:
            assert not word.startswith("-") or word in options | {"-"}, f"atheria {line}: no option {word}"
