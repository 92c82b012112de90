"""The digest of files and folders is the one that a person computes with sha256sum."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from atheria_server.sources.digest import check_digest, digest_of
from atheria_server.sources.errors import UnusableSourceError

COMMAND = "find -L . -type f -printf '%P\\n' | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_bytes(b"2")
    (tmp_path / "one two.txt").write_bytes(b"1")
    (tmp_path / "B.txt").symlink_to(tmp_path / "b" / "two.txt")
    return tmp_path


def test_a_files_digest_is_that_of_its_bytes(folder: Path) -> None:
    assert digest_of(folder / "one two.txt") == "sha256:" + hashlib.sha256(b"1").hexdigest()


def test_a_folders_digest_is_what_the_documented_command_prints(folder: Path) -> None:
    printed = subprocess.run(["bash", "-c", COMMAND], cwd=folder, check=True, capture_output=True, text=True)
    assert digest_of(folder) == "sha256:" + printed.stdout.split()[0]


def test_a_renamed_file_changes_the_folders_digest(folder: Path) -> None:
    before = digest_of(folder)
    (folder / "one two.txt").rename(folder / "three.txt")
    assert digest_of(folder) != before


def test_another_digest_is_refused_with_both(folder: Path) -> None:
    wanted = "sha256:" + "0" * 64
    with pytest.raises(UnusableSourceError) as error:
        check_digest(folder, wanted)
    assert wanted in str(error.value)
    assert digest_of(folder) in str(error.value)
    check_digest(folder, digest_of(folder))
    check_digest(folder, "")


@pytest.mark.parametrize("digest", ["md5:1", "sha256:xyz", "SHA256:" + "0" * 64])
def test_a_text_that_is_no_digest_is_refused(folder: Path, digest: str) -> None:
    with pytest.raises(UnusableSourceError, match="64 hexadecimal digits"):
        check_digest(folder, digest)


def test_a_linked_folder_is_refused(folder: Path) -> None:
    (folder / "linked").symlink_to(folder / "b")
    with pytest.raises(UnusableSourceError, match="link to a folder"):
        digest_of(folder)
