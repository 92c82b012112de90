"""What counts as current among generated files, the command that all generators share, and that their files are current."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.chart import ROOT
from tools import generate
from tools.generated_files import CannotGenerate, Generated, differing

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


def made(folder: Path, **files: str) -> Generated:
    """A generator of these files, alone in their folder."""
    return Generated(
        description="Write them.",
        files=lambda: {folder / f"{name}.md": text for name, text in files.items()},
        alone_in=((folder, "*.md"),),
    )


def test_the_command_writes_what_differs_and_takes_away_what_is_made_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pages"
    assert made(folder, a="1", b="2").run([]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a.md", "b.md"]
    (folder / "notes.txt").write_text("a person's", encoding="utf-8")
    untouched = (folder / "a.md").stat().st_mtime_ns
    assert made(folder, a="1", c="3").run([]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["a.md", "c.md", "notes.txt"]
    assert (folder / "a.md").stat().st_mtime_ns == untouched


def test_the_check_names_what_is_not_current_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, a="1", b="2").run([])
    assert made(tmp_path, a="1", b="2").run(["--check"]) == 0
    assert capsys.readouterr().err == ""
    changed = made(tmp_path, a="other", c="3")
    assert changed.stale() == [tmp_path / name for name in ("a.md", "c.md", "b.md")]
    assert changed.run(["--check"]) == 1
    assert (
        capsys.readouterr().err
        == f"not current: {tmp_path}/a.md, {tmp_path}/c.md, {tmp_path}/b.md; run make generate\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "b.md"]
    assert (tmp_path / "a.md").read_text() == "1"


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_what_cannot_be_made_here_is_said_and_is_no_mistake(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def files() -> Mapping[Path, str]:
        raise CannotGenerate("helm is not installed")

    assert Generated(description="Write manifests.", files=files).run(arguments) == 0
    assert capsys.readouterr().err == "not looked at: Write manifests. helm is not installed\n"


def test_every_generator_is_among_those_of_make_generate() -> None:
    # The stubs come first and by themselves: the others import them.
    there = {path.stem.removeprefix("generate_") for path in (ROOT / "tools").glob("generate_*.py")}
    assert set(generate.NAMES) == there - {"stubs"}
    assert len(set(generate.NAMES)) == len(generate.NAMES)


def test_generators_are_run_alone_or_together_by_one_command() -> None:
    for module in (("tools.generate", "crds", "dashboards"), ("tools.generate_crds",)):
        command = [sys.executable, "-m", *module, "--check"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), module
    unknown = [sys.executable, "-m", "tools.generate", "crd"]
    done = subprocess.run(unknown, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "'crd'" in done.stderr
    assert "crds" in done.stderr


@pytest.mark.parametrize("name", generate.NAMES)
def test_the_generated_files_are_current(name: str) -> None:
    try:
        assert generate.generator(name).stale() == [], "run make generate"
    except CannotGenerate as missing:
        pytest.skip(str(missing))
