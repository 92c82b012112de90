"""Each missing prerequisite is one line that ends with its remedy."""

import os
import platform
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from atheria_local import go_toolchain, gpus, paths, prerequisites
from atheria_local.errors import LocalError
from atheria_local.shell import run


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "CACHE", tmp_path)
    return tmp_path


def test_another_system_is_told_to_use_linux_or_its_own_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LocalError, match=r"needs Linux, this is Darwin: .* or set KUBECONFIG"):
        prerequisites.check_machine(first_build=False)


def test_another_user_is_told_to_be_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match=r"needs root .*: run as root"):
        prerequisites.check_machine(first_build=False)


def test_missing_programs_name_their_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "runc" else f"/usr/bin/{name}")
    with pytest.raises(LocalError, match=r"runc.*: run `make setup`"):
        prerequisites.check_machine(first_build=False)


@pytest.mark.parametrize(("there", "installed"), [((), ["chromium"]), (("chromium-browser",), [])])
def test_a_browser_is_installed_where_there_is_none_and_the_cluster_does_not_want_one(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], installed: list[str]
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(prerequisites, "run", lambda command, **_: commands.append(command))
    monkeypatch.setattr(shutil, "which", lambda name, **_: name if name in (*there, "apt-get") else None)
    prerequisites.install_browser()
    assert [package for command in commands[1:] for package in command[5:]] == installed
    assert "chromium" not in prerequisites.missing_packages()


def test_a_small_disk_says_how_much_is_free_and_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(prerequisites, "missing_packages", list)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1024**3))
    with pytest.raises(
        LocalError, match=r"has 1.0 GiB free, 16 GiB are needed for the first build: free some"
    ):
        prerequisites.check_machine(first_build=True)


def test_a_port_in_use_is_named_with_the_command_that_finds_its_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(prerequisites, "GATEWAY_PORTS", (port,))
        with pytest.raises(LocalError, match=rf"127.0.0.1:{port} is in use .*ss -ltnp"):
            prerequisites.check_ports()
    prerequisites.check_ports()


def test_without_go_and_without_a_registry_the_remedy_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise LocalError("no route to the registry")

    monkeypatch.setattr(go_toolchain, "find_go", lambda: None)
    monkeypatch.setattr(go_toolchain, "run", refuse)
    with pytest.raises(LocalError, match=r"no Go: no route to the registry; install Go 1\.26 or newer"):
        go_toolchain.ensure_go()


@pytest.mark.parametrize("text", ["nvidia-l4", "nvidia-l4=many", "nvidia-h9000=1", "nvidia-l4=65", "=1"])
def test_a_wrong_number_of_pretended_gpus_names_what_is_allowed(text: str) -> None:
    with pytest.raises(LocalError, match=r"it must be PROFILE=N .* nvidia-l4"):
        gpus.parse(text)


def test_a_right_number_of_pretended_gpus_is_understood() -> None:
    assert gpus.parse("nvidia-a100-80gb=2") == ("nvidia-a100-80gb", 2)


def test_pretended_products_match_the_charts_hardware_profiles() -> None:
    profiles = paths.REPOSITORY / "charts" / "atheria" / "files" / "profiles"
    for profile, product in gpus.PRODUCTS.items():
        assert product in (profiles / f"{profile}.yaml").read_text()


def test_the_archive_of_a_program_is_the_same_each_time(tmp_path: Path) -> None:
    from atheria_local.image_archive import write_single_program_image

    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    for name in ("a.tar", "b.tar"):
        write_single_program_image(program, "localhost/x:1", tmp_path / name)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert "manifest.json" in run(["tar", "-tf", str(tmp_path / "a.tar")])
