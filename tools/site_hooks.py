"""What `mkdocs build` does beside reading docs/: the pages are written for a git host, and the site must say the same.

Named in mkdocs.yml, called by MkDocs; `make docs` and tests/contract/test_site.py run it. Three things: files outside docs/ that a page
links to become pages of the site (text as it is, code in a block, a folder as a list); links are turned to where each file is in the
site; Markdown that a git host reads by CommonMark's rules (a list right below a paragraph, items indented by two) is made plain
for Python-Markdown.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
OUTSIDE: Final = "repository"
"""Folder of the site with what is not below docs/."""
_FENCE: Final = re.compile(r"^(\s*)(`{3,}|~{3,})")
_LINK: Final = re.compile(r"(!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\()([^)\s]+)(\))")
_CODE: Final = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+\S")
_LANGUAGES: Final = {".py": "python", ".yaml": "yaml", ".json": "json", ".sh": "bash", ".proto": "protobuf"}
_ASSETS: Final = frozenset({".png", ".svg", ".jpg", ".gif", ".mp4"})
"""Files that are shown or fetched as they are, not as pages."""
_LISTED: Final = 200
"""A folder of more files is none that a reader wants as a page."""


class _TwoSpaces(Extension):
    """Lists nest by two spaces, as git hosts read them, not by four."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.tab_length = 2


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the extension in, and put the pages of a folder where the navigation says `folder/*`."""
    config.markdown_extensions.append(_TwoSpaces())
    named = set(_paths(config.nav))
    config.nav = _expanded(config.nav, Path(config.docs_dir), named)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file outside docs/ that is linked to, and for those that these link to in turn."""
    docs = Path(config.docs_dir)
    named = {path for path in _paths(config.nav) if path.startswith(f"{OUTSIDE}/")}
    ahead = [_source(path, docs) for path in named]
    for file in files.documentation_pages():
        ahead += _targets(docs / file.src_uri)
    seen: set[Path] = set()
    while ahead:
        target = ahead.pop()
        if target in seen or target.is_relative_to(docs):
            continue
        seen.add(target)
        place = _place(target, docs)
        if target.suffix in _ASSETS:
            files.append(File.generated(config, place, abs_src_path=str(target)))
            continue
        inclusion = InclusionLevel.INCLUDED if place in named else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, place, content=_page(target), inclusion=inclusion))
        if target.suffix == ".md":
            ahead += _targets(target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' signature
    """The page's text with links for the site and lists for Python-Markdown."""
    docs = Path(config.docs_dir)
    source = _source(page.file.src_uri, docs)
    return "\n".join(_line(source, page.file.src_uri, docs, *each) for each in _lines(_apart(markdown)))


def _source(src_uri: str, docs: Path) -> Path:
    """The file that a page of the site was made from."""
    folder, _, rest = src_uri.partition("/")
    if folder != OUTSIDE:
        return docs / src_uri
    found = ROOT / rest
    return found if found.is_file() else ROOT / rest.removesuffix("/index.md").removesuffix(".md")


def _place(target: Path, docs: Path) -> str:
    """Where a file or folder of the repository is in the site, as MkDocs names pages; an asset of docs/ stays where it is."""
    if target.is_relative_to(docs):
        inner = target.relative_to(docs).as_posix()
        return f"{inner}/README.md" if target.is_dir() else inner
    inner = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        return f"{OUTSIDE}/{inner}/index.md"
    return f"{OUTSIDE}/{inner}" if target.suffix in {".md", *_ASSETS} else f"{OUTSIDE}/{inner}.md"


def _page(target: Path) -> str:
    """Markdown of a page for what is not below docs/. Raises PluginError where there is nothing that could be shown."""
    name = target.relative_to(ROOT).as_posix()
    if target.is_dir():
        found = sorted(
            path.relative_to(target).as_posix()
            for path in target.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        )
        if len(found) > _LISTED:
            raise PluginError(f"{name}/ has {len(found)} files: link to one of them")
        return "\n".join([f"# {name}/", "", *(f"- `{path}`" for path in found)]) + "\n"
    try:
        text = target.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PluginError(f"a page links to {name}, which cannot be shown: {error}") from error
    if target.suffix == ".md":
        return text
    return (
        f"# {target.name}\n\n`{name}`\n\n````{_LANGUAGES.get(target.suffix, 'text')}\n{text.rstrip()}\n````\n"
    )


def _targets(source: Path) -> Iterator[Path]:
    """Files and folders of the repository that a page links to."""
    for line, is_code in _lines(source.read_text(encoding="utf-8")):
        if not is_code:
            for match in _LINK.finditer(_CODE.sub("", line)):
                if target := _file(source, match[2]):
                    yield target


def _file(source: Path, link: str) -> Path | None:
    """What a link leads to in the repository; None for another site, a heading of the same page, or nothing at all."""
    path = link.partition("#")[0]
    if not path or "://" in path or path.startswith(("mailto:", "/")):
        return None
    target = (source.parent / path).resolve()
    return target if target.exists() and target.is_relative_to(ROOT) else None


def _line(source: Path, src_uri: str, docs: Path, line: str, is_code: bool) -> str:
    """A line with its links turned; what is in code stays."""
    if is_code or "](" not in line:
        return line
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return f"\0{len(hidden) - 1}\0"

    def turn(match: re.Match[str]) -> str:
        target = _file(source, match[2])
        if target is None:
            return match[0]
        place = posixpath.relpath(_place(target, docs), posixpath.dirname(src_uri) or ".")
        _, mark, anchor = match[2].partition("#")
        return f"{match[1]}{place}{mark}{anchor}{match[3]}"

    turned = _LINK.sub(turn, _CODE.sub(hide, line))
    return re.sub(r"\0(\d+)\0", lambda match: hidden[int(match[1])], turned)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a block of code."""
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            yield line, True
            if mark and mark[2].startswith(fence) and line.strip() == mark[2]:
                fence = ""
        else:
            fence = mark[2] if mark else ""
            yield line, bool(mark)


def _apart(text: str) -> str:
    """A blank line before each list right below a paragraph, and behind each block of code, as Python-Markdown wants them."""
    found: list[str] = []
    in_list = was_code = False
    for line, is_code in _lines(text):
        is_item = not is_code and bool(_ITEM.match(line))
        is_first = is_item and not in_list and not (found and found[-1].startswith("#"))
        if found and found[-1].strip() and (is_first or (was_code and not is_code)):
            found.append("")
        in_list = is_item or (in_list and bool(line.strip()) and not line.startswith("#"))
        was_code = is_code
        found.append(line)
    return "\n".join(found)


def _paths(nav: Any) -> Iterator[str]:
    for item in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else [nav]:
        if isinstance(item, str):
            yield item
        elif item is not None:
            yield from _paths(item)


def _expanded(nav: Any, docs: Path, named: set[str]) -> Any:
    """The navigation with each `folder/*` replaced by its pages that are named nowhere, by name."""
    if isinstance(nav, dict):
        return {title: _expanded(item, docs, named) for title, item in nav.items()}
    if not isinstance(nav, list):
        return nav
    found: list[Any] = []
    for item in nav:
        if isinstance(item, str) and item.endswith("/*"):
            pages = (path.relative_to(docs).as_posix() for path in docs.glob(f"{item}.md"))
            found += sorted(page for page in pages if page not in named)
        else:
            found.append(_expanded(item, docs, named))
    return found
