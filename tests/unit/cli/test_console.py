"""What is piped is whole: a program that reads it must not get a name that was cut to fit a screen."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from atheria_cli.__main__ import app
from atheria_cli.cluster import Cluster
from atheria_cli.console import make_console, print_line

NAME = "a-model-with-a-name-that-is-longer-than-a-narrow-terminal-is-wide"
BODY: dict[str, Any] = {
    "metadata": {"name": NAME, "namespace": "demo", "generation": 1},
    "spec": {"scaling": {}},
    "status": {
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "NoNode",
                "message": f"{NAME} has no node " * 4,
                "observedGeneration": 1,
            }
        ]
    },
}


@pytest.mark.parametrize("command", ["list -A", f"get {NAME}", f"explain {NAME}", f"rollout status {NAME}"])
def test_a_pipe_gets_whole_lines_however_narrow_the_terminal_was(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    answer = json.dumps({"items": [BODY]} if command == "list -A" else BODY)
    monkeypatch.setattr(Cluster, "kubectl", lambda *_: answer)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    assert "…" not in done.output
    assert " " * 2000 not in done.output, "nor is it filled with blanks"
    if not command.startswith("rollout"):
        assert NAME in done.output
    if command.startswith(("get", "explain")):
        assert (f"{NAME} has no node " * 4).strip() in done.output


def test_no_colours_are_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "kubectl", lambda *_: json.dumps(BODY))
    assert "\x1b" not in CliRunner().invoke(app, ["get", NAME]).output


def test_what_a_model_writes_cannot_command_the_terminal_and_is_piped_as_it_is() -> None:
    evil = "a\x1b]0;title\x07 [bold]b\tc"
    for is_terminal, expected in ((True, "a�]0;title� [bold]b"), (False, "a\x1b]0;title")):
        console = Console(force_terminal=is_terminal, width=80)
        with console.capture() as printed:
            print_line(console, evil)
        assert printed.get().startswith(expected)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_line_keeps_its_tabs_and_what_looks_like_the_name_of_an_emoji(is_terminal: bool) -> None:
    line = '{"said": ":warning: at 12:on:34"}\tc'
    console = Console(force_terminal=is_terminal, width=20)
    with console.capture() as printed:
        print_line(console, line)
        print_line(console, "more ", end="")
    assert printed.get() == f"{line}\nmore "


def test_brackets_in_what_the_cluster_says_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "precision is [int3]; allowed: [fp32] or [/bf16] :warning:"
    body = json.loads(json.dumps(BODY))
    body["status"]["conditions"][0]["message"] = said
    monkeypatch.setattr(Cluster, "kubectl", lambda *_: json.dumps(body))
    done = CliRunner().invoke(app, ["get", NAME])
    assert said in done.output


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "ascii"])
def test_a_character_that_the_encoding_of_the_output_lacks_is_written_as_json_writes_it(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "half \ud800, café → 🚲"
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    console = make_console()
    print_line(console, said)
    console.print_json(json.dumps([said]))
    sys.stdout.flush()
    line, _, document = out.getvalue().decode(encoding).partition("\n")
    assert line.startswith("half \\ud800, caf")
    assert json.loads(f'"{line}"') == said
    assert json.loads(document) == [said]
