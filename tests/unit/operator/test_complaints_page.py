"""docs/what-users-ask-for.md promises a test for each row: they exist, and no numbered test is left out."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROWS = [
    line
    for line in (ROOT / "docs" / "what-users-ask-for.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]


def existing() -> set[str]:
    return {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_each_complaint_has_a_row_and_each_row_a_test_that_exists() -> None:
    promised = {int(row.split("|")[1]): set(re.findall(r"`(test_\w+)`", row)) for row in ROWS}
    assert sorted(promised) == list(range(1, 29))
    found = existing()
    assert not {number: tests - found for number, tests in promised.items() if not tests or tests - found}
    numbered = {name for name in found if name.startswith("test_complaint_")}
    assert not numbered - set().union(*promised.values()), "tests that the page does not name"
