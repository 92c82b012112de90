"""Every fenced command of the README and the tutorials is run by a test, or says why it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from atheria_contract import names
from atheria_operator.api.model import ModelIntent
from atheria_operator.api.parse import parse_model
from tests.pages.blocks import LANGUAGES, PAGES, ROOT, Stage, blocks, to_run
from tests.pages.figures import print_figure

_FENCES = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = ("text", "yaml", "python", "json")
RUN_BY = {
    Stage.CLUSTER: "tests/e2e/test_tutorials.py",
    Stage.ALONE: "tests/integration/tutorials/test_without_a_cluster.py",
}


def _page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_fence_says_what_it_holds_and_every_command_is_run_or_has_a_reason(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fences = _FENCES.findall(page.read_text(encoding="utf-8"))
    assert {language for language, _ in fences} <= {*LANGUAGES, *SHOWN}
    found = blocks(page)
    assert len(found) == sum(language in LANGUAGES for language, _ in fences)
    run = {block.line for stage in RUN_BY for block in to_run(page, stage)}
    for block in found:
        if block.not_run is None:
            assert block.line in run
        else:
            assert len(block.not_run.split()) >= 4, f"{block.where}: say why it is not run"
            print_figure(capsys, f"{block.where} is not run: {block.not_run}")
    assert page.name in ("README.md",) or run


@pytest.mark.parametrize("file", RUN_BY.values())
def test_the_tests_that_run_them_are_there(file: str) -> None:
    assert "to_run(page, Stage." in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_model_written_out_on_a_page_is_one_that_the_operator_takes(page: Path) -> None:
    for language, body in _FENCES.findall(page.read_text(encoding="utf-8")):
        document = yaml.safe_load(body) if language == "yaml" else {}
        if document.get("kind") == names.MODEL_KIND:
            metadata = {"uid": "1", "namespace": "demo", **document["metadata"]}
            assert isinstance(parse_model({**document, "metadata": metadata}), ModelIntent)


def test_comments_before_a_block_say_how_it_is_run(tmp_path: Path) -> None:
    page = _page(
        tmp_path,
        "<!-- with and without a cluster -->\n<!-- ends with 3 -->\n```sh\nls\nfalse\n```\n"
        "<!-- shows: one, two words -->\n```text\none\ntwo words\n```\n"
        "<!-- until Ctrl-C; begins: it runs -->\n```console\nserve\n```\n"
        "<!-- not run: needs a registry -->\n```console\npush\n```\n```yaml\na: 1\n```\n",
    )
    first, second, third = blocks(page)
    assert (first.commands, first.line, first.status) == ("ls\nfalse\n", 3, 3)
    assert first.shows == ("one", "two words")
    assert first.stages == frozenset(Stage)
    assert (second.is_endless, second.begins, second.shows) == (True, "it runs", ())
    assert third.not_run == "needs a registry"
    assert to_run(page, Stage.ALONE) == [first]
    assert to_run(page, Stage.CLUSTER) == [first, second]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- runs never -->\n```sh\nls\n```\n", "is not known"),
        ("```sh\nls\n```\n<!-- shows: absent -->\n```text\nother\n```\n", "'absent' is not in the block"),
    ],
)
def test_a_comment_that_means_nothing_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        blocks(_page(tmp_path, text))
