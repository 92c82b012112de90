"""What `plan` and `apply` are given by `-f`, as kubectl takes it: files, folders, and `-` for standard input.

`apply` runs kubectl twice, for the plan and for the change, and a pipe can be read once: so its text is kept. Called by
`__main__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from atheria_cli.errors import CommandError, ExitCode

STDIN_BYTES_MOST: Final = 16 << 20
"""Of a manifest from standard input: an object has at most 1.5 MiB in the API server, and the text is held in memory."""
_STDIN: Final = Path("-")
_PIPE: Final = "pipe a manifest into it (kustomize build . | atheria apply -f -), or name a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What kubectl is given."""

    arguments: tuple[str, ...]
    """A `-f` each."""
    stdin: str | None = None
    """The text behind `-f -`; None = standard input was not named."""


def read_manifests(files: Sequence[Path], stdin: TextIO | None) -> Manifests:
    """Raises CommandError: NOT_FOUND for a missing file, USAGE where standard input is named and holds no manifest."""
    if (times := sum(file == _STDIN for file in files)) > 1:
        raise CommandError(
            f"--filename - is given {times} times; allowed: once, with documents that `---` parts",
            ExitCode.USAGE,
        )
    for file in files:
        if file != _STDIN and not file.exists():
            raise CommandError(
                f"{file} does not exist; give YAML files or folders of them", ExitCode.NOT_FOUND
            )
    return Manifests(
        arguments=tuple(part for file in files for part in ("-f", str(file))),
        stdin=_read(stdin) if times else None,
    )


def _read(stdin: TextIO | None) -> str:
    if stdin is None or stdin.closed:
        raise _refused(f"standard input is closed: {_PIPE}")
    if stdin.isatty():
        raise _refused(f"standard input is a terminal: {_PIPE}")
    content = stdin.buffer.read(STDIN_BYTES_MOST + 1)
    if len(content) > STDIN_BYTES_MOST:
        raise _refused(
            f"standard input holds more than {STDIN_BYTES_MOST >> 20} MiB; give it as files or as a folder of them"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"standard input is not UTF-8 text: byte {error.start}; give YAML or JSON") from None
    if not text.strip():
        raise _refused(
            "standard input is empty: the program before the pipe wrote no manifest; run it alone to see why"
        )
    return text


def _refused(why: str) -> CommandError:
    return CommandError(f"--filename is -: {why}", ExitCode.USAGE)
