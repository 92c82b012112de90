"""What every generator is: files with their texts, written or with `--check` compared with what is there.

Each `generate_*` beside it describes its files in a `GENERATED`, and is a command by it; `generate` runs all of them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"(-?\d+\.\d+)")
_NOT_SEEN: Final = 0.01
"""Points of a drawing: processors differ in the last digit of a logarithm, and so does what it places."""


def differing(files: Mapping[Path, str]) -> list[Path]:
    """Those that are missing or have another text; a drawing (.svg) may have its lines a hundredth of a point elsewhere."""
    return [path for path, text in files.items() if not path.is_file() or not _is_same(path, text)]


def _is_same(path: Path, text: str) -> bool:
    there = path.read_text(encoding="utf-8")
    if path.suffix != ".svg":
        return there == text
    pairs = zip_longest(_NUMBER.split(there), _NUMBER.split(text), fillvalue="")
    return all(one == other or _is_near(one, other) for one, other in pairs)


def _is_near(one: str, other: str) -> bool:
    is_number = _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)
    return bool(is_number) and abs(float(one) - float(other)) <= _NOT_SEEN


class CannotGenerate(Exception):  # noqa: N818 - a state of the machine, no mistake of anybody's
    """A program that it takes is not installed here; the message names it, and how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Files that one generator makes."""

    description: str
    """Of its command; the first sentence says what it makes."""
    files: Callable[[], Mapping[Path, str]]
    """Path to text of everything that it makes. Raises CannotGenerate."""
    alone_in: tuple[tuple[Path, str], ...] = ()
    """Folders with a pattern: what else matches there was made once and is not any more."""

    def stale(self) -> list[Path]:
        """Those that are missing or have another text, then those that it makes no more. Raises CannotGenerate."""
        return self._stale(self.files())

    def write(self) -> None:
        """Make all of them current. Raises CannotGenerate."""
        files = self.files()
        for path in self._stale(files):
            if path in files:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(files[path], encoding="utf-8")
            else:
                path.unlink()

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """The command: write, or with --check name what is not current and return 1. Without arguments those of the process."""
        parser = argparse.ArgumentParser(description=self.description)
        parser.add_argument("--check", action="store_true", help="compare only")
        return run_all([self], is_check=parser.parse_args(arguments).check)

    def _stale(self, files: Mapping[Path, str]) -> list[Path]:
        there = sorted(path for folder, pattern in self.alone_in for path in folder.glob(pattern))
        return [*differing(files), *(path for path in there if path not in files)]


def run_all(generators: Sequence[Generated], *, is_check: bool) -> int:
    """Write one after the other, or compare all and return 1 where one is not current."""
    found: list[Path] = []
    for one in generators:
        try:
            if is_check:
                found += one.stale()
            else:
                one.write()
        except CannotGenerate as missing:
            sys.stderr.write(f"not looked at: {one.description.partition(chr(10))[0]} {missing}\n")
    if found:
        sys.stderr.write(f"not current: {', '.join(map(str, found))}; run make generate\n")
    return 1 if found else 0
