"""Which programs are built, and that those of others are built only when they are asked for."""

from __future__ import annotations

import pytest

from atheria_local import __main__ as command
from atheria_local import programs


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what would be built."""
    found: list[str] = []
    monkeypatch.setattr(programs, "ensure", lambda *builds: found.extend(build.program for build in builds))
    monkeypatch.setattr(programs, "install_for_people", lambda: None)
    return found


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["atheria-local", *arguments])
    return command.main()


def test_the_programs_of_others_are_not_built_unless_they_are_asked_for(
    built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "programs") == 0
    assert built == [build.program for build in programs.ALL]
    optional = {build for builds in programs.OPTIONAL.values() for build in builds}
    assert not optional & set(programs.ALL)


@pytest.mark.parametrize("name", programs.OPTIONAL)
def test_one_that_is_asked_for_is_built_beside_the_others(
    name: str, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "programs", "--also", name) == 0
    assert built == [build.program for build in (*programs.ALL, *programs.OPTIONAL[name])]


def test_an_unknown_name_is_refused_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "programs", "--also", "istio")
    assert "'cert-manager'" in capsys.readouterr().err


def test_each_program_has_a_folder_of_its_own_that_no_other_ones_build_clears() -> None:
    every = [*programs.ALL, *(build for builds in programs.OPTIONAL.values() for build in builds)]
    folders = {build.folder for build in every}
    assert len(folders) == len(every)
    for build in every:
        # As a finished build looks for its outdated ones.
        cleared = {folder for folder in folders if folder.match(f"{build.program}-*-*")}
        assert cleared == {build.folder}
