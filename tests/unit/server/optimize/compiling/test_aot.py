"""Mode aot: a package for each layout, made once, by whichever start is the first. The making itself is stubbed: it takes
half a minute, and is measured by `bench/optimization`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from atheria_contract.optimization import CompileConfig
from atheria_server.optimize.compiling import BucketCompiler, CompileUnavailableError, aot, toolchain


def double(x: Tensor, times: int) -> Tensor:
    return x * 2 * times


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the packages that were made, whose content is the exported program."""
    names: list[str] = []

    def make(program: Any, *, package_path: str) -> str:
        names.append(Path(package_path).name)
        torch.export.save(program, package_path)
        return package_path

    monkeypatch.setattr(aot, "aoti_compile_and_package", make)
    monkeypatch.setattr(aot, "aoti_load_package", lambda path: torch.export.load(path).module())
    return names


def start(directory: Path) -> BucketCompiler:
    compiler = BucketCompiler(CompileConfig(mode="aot"), "cpu", directory=directory)
    function = compiler(double, name="qca/double")
    for rows in (2, 3):
        assert function(torch.ones(rows), 4).tolist() == [8.0] * rows
    compiler.freeze()
    function(torch.ones(2), 4)
    function(torch.ones(5), 4)
    return compiler


def test_the_second_start_makes_nothing_and_computes_the_same(tmp_path: Path, made: list[str]) -> None:
    first = start(tmp_path / "packages").statistics()
    assert (first.graphs, first.eager_fallbacks, len(made)) == (2, 1, 2)
    second = start(tmp_path / "packages").statistics()
    assert (second.graphs, second.eager_fallbacks, len(made)) == (0, 1, 2)


def test_a_package_has_its_name_only_when_it_is_whole(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = aot.aoti_compile_and_package

    def die(program: Any, *, package_path: str) -> str:
        Path(package_path).write_bytes(b"half of a package")
        raise KeyboardInterrupt

    monkeypatch.setattr(aot, "aoti_compile_and_package", die)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path)
    monkeypatch.setattr(aot, "aoti_compile_and_package", whole)
    start(tmp_path)
    assert len(made) == 2


def test_without_a_compiler_packages_of_another_pod_still_serve(
    tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path)
    monkeypatch.setattr(toolchain, "cpp_compiler", lambda: None)
    start(tmp_path)
    function = BucketCompiler(CompileConfig(mode="aot"), "cpu", directory=tmp_path)(double, name="qca/double")
    with pytest.raises(CompileUnavailableError, match=r"'aot'.*package g\+\+"):
        function(torch.ones(9), 4)
    assert len(made) == 2
