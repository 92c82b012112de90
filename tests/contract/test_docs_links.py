"""Every link of the documentation leads somewhere, every page can be reached, and every `atheria` command in it exists."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer.main

from atheria_cli.__main__ import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        *ROOT.glob("requirements/*.md"),
    )
    if "docs/reference/cli.md" not in path.as_posix()
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_COMMAND = re.compile(r"(?:^[$ ]*|`)(?:\.venv/bin/|kubectl )?atheria ((?!-)[a-z][^\n`|;&]*)", re.MULTILINE)


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub names the headings of a page, and the places that it names itself."""
    found = set(re.findall(r'<a id="([^"]+)">', text(page)))
    for heading in re.findall(r"^#{1,6} (.+)$", _BLOCK.sub("", text(page)), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(words.strip().replace(" ", "-"))
    return frozenset(found)


def links(page: Path) -> list[tuple[Path, str]]:
    """File and anchor of each link that stays in the repository."""
    found = []
    for target in _LINK.findall(_CODE.sub("", _BLOCK.sub("", text(page)))):
        if "://" not in target and not target.startswith("mailto:"):
            path, _, anchor = target.partition("#")
            found.append(((page.parent / path).resolve() if path else page, anchor))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        assert path.exists(), f"{path.relative_to(ROOT)} does not exist"
        assert not anchor or anchor in anchors(path), f"{path.relative_to(ROOT)} has no heading #{anchor}"


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            ahead += [path for path, _ in links(page) if path.is_file()]
    missing = {page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/**/*.md")} - {
        page.relative_to(ROOT).as_posix() for page in seen
    }
    assert not missing


def test_every_atheria_command_of_the_documentation_exists_with_its_options() -> None:
    group = typer.main.get_command(app)
    context = typer.Context(group)
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}  # type: ignore[attr-defined]
    count = 0
    for page in PAGES:
        for line in _COMMAND.findall(text(page)):
            words = shlex.split(line, comments=True)
            assert words[0] in commands, f"{page.relative_to(ROOT)}: atheria {line}"
            options = {
                option for one in commands[words[0]].params for option in (*one.opts, *one.secondary_opts)
            }
            for word in words[1:]:
                name = word.partition("=")[0]
                assert not word.startswith("-") or name in options | {"--help", "-"}, (
                    f"{page}: atheria {line}"
                )
            count += 1
    assert count > 20


def test_every_make_target_of_the_documentation_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"(?:^[$ ]*|`)make ([a-z][a-z-]*)", text(page), re.MULTILINE)
    }
    assert len(named) > 10
    assert {(page, target) for page, target in named if target not in targets} == set()
