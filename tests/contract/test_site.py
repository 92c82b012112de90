"""The site of the documentation: built without a warning, whole in itself, and saying what a git host shows of the same pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt

from tools import site_hooks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUILD_SECONDS = 200
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_NAMED_ONLY = {"canonical", "alternate", "next", "prev", "edit"}
"""What `rel` of a <link> says that no browser fetches."""
_STRUCTURE = ("li", "table", "tr", "pre", "img", "h1", "h2", "h3", "h4", "blockquote")


class Page(HTMLParser):
    """What a built page links to, loads, and has headings for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _LOADED and _LOADED[tag] in given and given.get("rel", "") not in _NAMED_ONLY:
            self.loaded.append(given[_LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@cache
def page(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


def built(site: Path, name: str) -> Path:
    """The file of a page of docs/."""
    stem = name.removesuffix(".md").removesuffix("README").removesuffix("index").rstrip("/")
    return site / stem / "index.html"


def target(file: Path, link: str) -> tuple[Path, str] | None:
    """File and anchor that a link of a built page leads to; None for another site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    if not parts.path:
        return file, unquote(parts.fragment)
    path = Path(os.path.normpath(file.parent / unquote(parts.path)))
    return (path / "index.html" if parts.path.endswith(("/", ".")) else path), unquote(parts.fragment)


def test_everything_that_the_site_links_to_or_loads_is_there_with_its_heading(site: Path) -> None:
    there = {path for path in site.rglob("*") if path.is_file()}
    missing = []
    count = 0
    for file in sorted(site.rglob("*.html")):
        # The page for what is not found stands for any address, so its links are absolute.
        for link in {*page(file).links, *page(file).loaded} if file.name != "404.html" else ():
            found = target(file, link)
            if found is None:
                continue
            path, anchor = found
            count += 1
            if path not in there:
                missing.append(f"{file.relative_to(site)}: {link}")
            elif anchor and path.suffix == ".html" and anchor not in page(path).ids:
                missing.append(f"{file.relative_to(site)}: {link} has no such heading")
    assert count > 2000
    assert missing == []


def test_the_site_loads_nothing_from_another_origin(site: Path) -> None:
    foreign = []
    for file in sorted(site.rglob("*.html")):
        foreign += [f"{file.name}: {one}" for one in page(file).loaded if urlsplit(one).netloc]
    for file in sorted(site.rglob("*.css")):
        text = file.read_text(encoding="utf-8")
        found = re.findall(
            r"url\(\s*['\"]?((?:https?:)?//[^)'\"]+)|@import\s+['\"]((?:https?:)?//[^'\"]+)", text
        )
        foreign += [f"{file.name}: {one}" for one in found]
    assert foreign == []


def test_the_check_of_origins_can_fail() -> None:
    text = (
        '<link rel="stylesheet" href="https://fonts.example/a.css"><script src="//cdn.example/a.js"></script>'
    )
    assert [one for one in Page(text).loaded if urlsplit(one).netloc] == [
        "https://fonts.example/a.css",
        "//cdn.example/a.js",
    ]


def test_every_page_of_the_documentation_is_in_the_navigation(site: Path) -> None:
    front = site / "index.html"
    navigation = front.read_text(encoding="utf-8").partition('<article class="md-content__inner')[0]
    reached = {found[0] for link in Page(navigation).links if (found := target(front, link))}
    missing = [name for name in PAGES if built(site, name) not in reached]
    assert not missing, f"name them under nav in mkdocs.yml: {missing}"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_on_the_site_what_a_git_host_shows(site: Path, name: str) -> None:
    """Lists, tables, blocks of code, pictures and headings: Python-Markdown reads some of them by other rules than CommonMark."""
    source = (DOCS / name).read_text(encoding="utf-8")
    expected = Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(source)).tags
    article = re.search(
        r"<article[^>]*>(.*?)</article>", built(site, name).read_text(encoding="utf-8"), re.DOTALL
    )
    assert article is not None
    shown = Page(article[1]).tags
    assert {tag: shown[tag] for tag in _STRUCTURE} == {tag: expected[tag] for tag in _STRUCTURE}


def test_a_list_below_a_paragraph_and_text_behind_code_are_set_apart() -> None:
    text = "It said:\n- one\n- two\n\n```\n- no list\n```\n| a |\n|---|\n"
    assert site_hooks._apart(text) == "It said:\n\n- one\n- two\n\n```\n- no list\n```\n\n| a |\n|---|"


def test_links_out_of_the_documentation_lead_to_pages_of_the_site_and_code_is_left_alone() -> None:
    def turned(line: str) -> str:
        return site_hooks._line(DOCS / "gateway.md", "gateway.md", DOCS, line, is_code=False)

    assert turned("[a](../gateway/README.md#x)") == "[a](repository/gateway/README.md#x)"
    assert turned("[a](../examples/qca/model.yaml)") == "[a](repository/examples/qca/model.yaml.md)"
    assert turned("[a](../bench/serving/peers)") == "[a](repository/bench/serving/peers/index.md)"
    assert turned("[a](adr) [b](https://example.com/)") == "[a](adr/README.md) [b](https://example.com/)"
    assert (
        turned("`[a](../README.md)` and [b](../README.md)")
        == "`[a](../README.md)` and [b](repository/README.md)"
    )
