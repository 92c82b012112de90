"""Files that a generator makes: written, or with `--check` compared with what is there. Called by the `generate_*` beside it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
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


def write_or_compare(description: str | None, files: Callable[[], Mapping[Path, str]]) -> int:
    """The command of a generator: write its files, or with --check name those that are not current and return 1."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="compare only")
    if parser.parse_args().check:
        if found := differing(files()):
            sys.stderr.write(f"not current: {', '.join(map(str, found))}; run make generate\n")
            return 1
        return 0
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0
