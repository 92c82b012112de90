"""A worker that is started again serves the files that the front resolved, whatever the other side has by then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from atheria_server.models import from_files
from atheria_server.models.registry import load_served
from atheria_server.sources.errors import UnusableSourceError


@pytest.fixture(autouse=True)
def _unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {**os.environ})
    os.environ.pop(from_files.PINNED, None)


def test_a_source_that_changes_stays_the_same_within_a_server(
    file_server: Any, remote: Any, tmp_path: Path
) -> None:
    file = file_server.files["/m.pt2"] = remote(b"first")
    url = f"{file_server.url}/m.pt2"
    front = from_files._path(url, "", str(tmp_path))
    file.data, file.tag = b"second", '"2"'
    assert from_files._path(url, "", str(tmp_path)) == front
    assert front.read_bytes() == b"first"
    del os.environ[from_files.PINNED]  # a new server
    assert from_files._path(url, "", str(tmp_path)).read_bytes() == b"second"


def test_files_that_were_removed_since_are_downloaded_again(
    file_server: Any, remote: Any, tmp_path: Path
) -> None:
    file_server.files["/m.pt2"] = remote(b"first")
    url = f"{file_server.url}/m.pt2"
    first = from_files._path(url, "", str(tmp_path))
    first.unlink()
    assert from_files._path(url, "", str(tmp_path)).read_bytes() == b"first"


def test_another_source_is_not_served_from_the_pin(file_server: Any, remote: Any, tmp_path: Path) -> None:
    file_server.files |= {"/a.pt2": remote(b"a"), "/b.pt2": remote(b"b")}
    from_files._path(f"{file_server.url}/a.pt2", "", str(tmp_path))
    assert from_files._path(f"{file_server.url}/b.pt2", "", str(tmp_path)).read_bytes() == b"b"


def test_a_download_that_is_a_pickle_is_refused(file_server: Any, remote: Any, tmp_path: Path) -> None:
    file_server.files["/m.pt"] = remote(b"x")
    with pytest.raises(UnusableSourceError, match=r"m\.pt is a pickle"):
        load_served(f"{file_server.url}/m.pt", {}, "", cache_directory=str(tmp_path))
