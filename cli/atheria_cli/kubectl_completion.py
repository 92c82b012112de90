"""`kubectl_complete-atheria`: what kubectl's shell completion offers after `kubectl atheria`.

kubectl runs a program of this name on PATH with the words typed so far, the unfinished one last (empty where nothing of it is
typed), and reads a candidate a line, a tab, its description; the last line is cobra's directive. The words are answered by the
completion that a shell asks `atheria` itself for.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from contextlib import redirect_stdout
from typing import Final

from atheria_cli.__main__ import app

_FILES_ARE_WANTED: Final = 0
"""cobra's ShellCompDirectiveDefault: file names, where there is no candidate."""
_NO_FILES: Final = 4
"""cobra's ShellCompDirectiveNoFileComp."""


def candidates(words: list[str]) -> list[str]:
    """`VALUE`, or `VALUE<tab>help`, for the last of `words`, of which `atheria` is not one. Raises nothing of a cluster's."""
    *before, incomplete = words or [""]
    line = shlex.join(["atheria", *before, *([incomplete] if incomplete else [])])
    # The protocol of the fish shell has the descriptions, in cobra's format.
    asked = {
        "_ATHERIA_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_ARGS": line if incomplete else f"{line} ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    os.environ.update(asked)
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            app(args=[], prog_name="atheria", complete_var="_ATHERIA_COMPLETE")
    except SystemExit:
        pass
    finally:
        for name in asked:
            os.environ.pop(name, None)
    return [line for line in said.getvalue().splitlines() if line]


def main() -> None:
    """Console script."""
    found = candidates(sys.argv[1:])
    print("\n".join([*found, f":{_NO_FILES if found else _FILES_ARE_WANTED}"]))
