"""Whether a file that a command is asked for can be written, before anything is sent or measured. Used by `infer`, `stream`, `bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atheria_cli.errors import CommandError, ExitCode


def check_output_file(option: str, path: Path, endings: Sequence[str]) -> None:
    """Raises CommandError, naming the option: USAGE for another ending, NOT_FOUND where the folder is missing."""
    if path.suffix.lower() not in endings:
        raise CommandError(
            f"{option} is {path}; allowed: a name that ends in {', '.join(endings)}", ExitCode.USAGE
        )
    if not path.resolve().parent.is_dir():
        raise CommandError(f"{option} is {path}: its folder does not exist; create it", ExitCode.NOT_FOUND)
