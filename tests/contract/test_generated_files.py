"""What counts as current among generated files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.generated_files import differing

LINE = '<path d="M 10.001 2.5"/>'


@pytest.mark.parametrize(
    ("name", "text", "is_current"),
    [
        ("a.svg", LINE, True),
        ("a.svg", '<path d="M 10.004 2.5"/>', True),
        ("a.svg", '<path d="M 10.1 2.5"/>', False),
        ("a.svg", '<path d="L 10.001 2.5"/>', False),
        ("a.svg", '<path d="M 10.001 2.5 1.5"/>', False),
        ("a.md", LINE, True),
        ("a.md", '<path d="M 10.004 2.5"/>', False),
    ],
)
def test_a_drawing_may_differ_by_what_nobody_sees_and_other_files_by_nothing(
    name: str, text: str, is_current: bool, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(LINE, encoding="utf-8")
    assert differing({path: text}) == ([] if is_current else [path])


def test_a_file_that_is_missing_is_not_current(tmp_path: Path) -> None:
    assert differing({tmp_path / "a.md": ""}) == [tmp_path / "a.md"]
