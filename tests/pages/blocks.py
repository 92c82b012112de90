"""The commands of a page of the documentation: fenced blocks, and what comments before them say of how they are run.

Used by the tests that run the README and the tutorials. Comments stand on lines of their own directly before the block:

    <!-- not run: reason -->        such as a push to a registry of the reader
    <!-- without a cluster -->      runs among the integration tests; every other block runs on the local cluster
    <!-- with and without a cluster -->  runs in both
    <!-- until Ctrl-C -->           in another terminal, ended with the page; `<!-- until Ctrl-C; begins: words -->` waits for words
    <!-- ends with 1 -->            the exit status that its last command has; 0 where nothing is said
    <!-- shows: word, more words -->  before the `text` block that follows: these are in it, and in what the commands print
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md")))
LANGUAGES: Final = ("console", "sh", "bash", "shell")
_FENCE: Final = re.compile(
    r"^(?P<comments>(?:<!--[^\n]*-->\n)*)```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_COMMENT: Final = re.compile(r"<!-- (.*?) -->")
_UNTIL: Final = re.compile(r"until Ctrl-C(?:; begins: (.+))?")
_ENDS: Final = re.compile(r"ends with (\d+)")


class Stage(StrEnum):
    """Where a block is run."""

    CLUSTER = "cluster"
    """tests/e2e"""
    ALONE = "alone"
    """tests/integration"""


_STAGES: Final = {
    "without a cluster": frozenset({Stage.ALONE}),
    "with and without a cluster": frozenset(Stage),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands that a reader types one after the other."""

    page: Path
    line: int
    """Of the page, from 1, where the fence opens."""
    commands: str
    not_run: str | None
    """The reason; None where it is run."""
    stages: frozenset[Stage]
    is_endless: bool
    begins: str
    """Words that an endless one prints when it does its work."""
    status: int
    shows: tuple[str, ...]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The page's commands in order. Raises ValueError for a comment that is none of those above."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    shown_by: Block | None = None
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("language")) + 1
        comments = _COMMENT.findall(fence["comments"])
        if fence["language"] in LANGUAGES:
            shown_by = _block(page, line, fence["body"], comments)
            found.append(shown_by)
        elif fence["language"] == "text" and shown_by is not None:
            if words := _shown(comments, fence["body"], f"{page.name}:{line}"):
                found[-1] = replace(shown_by, shows=words)
            shown_by = None
        else:
            shown_by = None
    return found


def _block(page: Path, line: int, body: str, comments: list[str]) -> Block:
    not_run: str | None = None
    stages, is_endless, begins, status = frozenset({Stage.CLUSTER}), False, "", 0
    for comment in comments:
        if comment.startswith("not run:"):
            not_run = comment.removeprefix("not run:").strip()
        elif comment in _STAGES:
            stages = _STAGES[comment]
        elif until := _UNTIL.fullmatch(comment):
            is_endless, begins = True, until[1] or ""
        elif ends := _ENDS.fullmatch(comment):
            status = int(ends[1])
        else:
            raise ValueError(
                f"{page.name}:{line}: <!-- {comment} --> is not known; tests/pages/blocks.py has those that are"
            )
    return Block(
        page=page, line=line, commands=body, not_run=not_run, stages=stages,
        is_endless=is_endless, begins=begins, status=status, shows=(),
    )  # fmt: skip


def _shown(comments: list[str], body: str, where: str) -> tuple[str, ...]:
    words: list[str] = []
    for comment in comments:
        if comment.startswith("shows:"):
            words += [word.strip() for word in comment.removeprefix("shows:").split(",")]
    for word in words:
        if word not in body:
            raise ValueError(f"{where}: {word!r} is not in the block that is said to show it")
    return tuple(words)


def to_run(page: Path, stage: Stage) -> list[Block]:
    """The page's commands that are run there, in order."""
    return [block for block in blocks(page) if block.not_run is None and stage in block.stages]
