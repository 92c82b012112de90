"""Figures read back from the pages of docs/benchmarks: the benches write them there as tables, and nowhere else in the repository.

Used by `plots` and `overview`. A page that no longer has what is asked for is an error that names it, so that no old number lives on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
_NUMBER: Final = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")
_ROW: Final = re.compile(r"^\|(.*)\|\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure and the range that it was measured in; where the page has no range, all three are the same."""

    value: float
    least: float
    most: float

    @property
    def below(self) -> float:
        """Distance to the smallest one, never negative."""
        return max(0.0, self.value - self.least)

    @property
    def above(self) -> float:
        """Distance to the largest one, never negative."""
        return max(0.0, self.most - self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of a page."""

    page: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def column(self, name: str) -> list[str]:
        """Cells below a heading. Raises LookupError where there is none."""
        if name not in self.header:
            raise LookupError(
                f"docs/benchmarks/{self.page}: no column {name!r}; there are {', '.join(self.header)}"
            )
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def by_name(self, column: str) -> Mapping[str, str]:
        """First cell of each row, without bold, to its cell in that column."""
        return {plain(row[0]): cell for row, cell in zip(self.rows, self.column(column), strict=True)}

    def cell(self, row: str, column: str) -> str:
        """One cell. Raises LookupError where there is no such row or column."""
        found = self.by_name(column)
        if row not in found:
            raise LookupError(f"docs/benchmarks/{self.page}: no row {row!r}; there are {', '.join(found)}")
        return found[row]


def text(page: str) -> str:
    """The whole page."""
    return (PAGES / page).read_text(encoding="utf-8")


def phrase(page: str, pattern: str) -> str:
    """What a pattern's group finds in a page's text, its line breaks taken out. Raises LookupError where it finds nothing."""
    found = re.search(pattern, text(page), flags=re.DOTALL)
    if found is None:
        raise LookupError(
            f"docs/benchmarks/{page}: nothing there is like {pattern!r}; the overview quotes it"
        )
    return re.sub(r"\s+", " ", found[1]).strip()


def tables(page: str, first: str) -> list[Table]:
    """All tables whose first heading is `first`. Raises LookupError where there is none."""
    found: list[Table] = []
    block: list[list[str]] = []
    for line in [*text(page).splitlines(), ""]:
        if match := _ROW.match(line.strip()):
            block.append([cell.strip() for cell in match[1].split("|")])
        elif block:
            if len(block) > 2 and plain(block[0][0]) == first:
                found.append(Table(page=page, header=block[0], rows=block[2:]))
            block = []
    if not found:
        raise LookupError(f"docs/benchmarks/{page}: no table begins with the heading {first!r}")
    return found


def plain(cell: str) -> str:
    """Without the marks of Markdown."""
    return cell.replace("**", "").replace("`", "").strip()


def number(cell: str) -> float:
    """The first number of a cell. Raises ValueError where there is none."""
    return numbers(cell)[0]


def numbers(cell: str) -> list[float]:
    """All numbers of a cell, with the signs that they carry. Raises ValueError where there is none."""
    words = re.sub(r"(?<=\d)\s*[-–]\s*(?=[\d+-])", " to ", plain(cell).replace("−", "-"))
    found = [float(one.replace(",", "")) for one in _NUMBER.findall(words)]
    if not found:
        raise ValueError(f"{cell!r} has no number")
    return found


def spread(cell: str) -> Spread:
    """Of `1.2 (1.0 - 1.4)`, `1.2 (1.0 to 1.4)` or `1.2`; of `1.2 ± 0.1` one standard error to both sides."""
    value, *more = numbers(cell)
    if "±" in cell:
        return Spread(value=value, least=value - more[0], most=value + more[0])
    least, most = more[:2] if len(more) >= 2 else (value, value)
    return Spread(value=value, least=least, most=most)
